"""Standing queries that learn from what their watchers say of deliveries."""

from service.learning.state import MOST_DISTANCE, State
from service.learning.threshold import calibrated

__all__ = ["MOST_DISTANCE", "State", "calibrated"]
