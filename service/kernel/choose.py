"""Which kernel runs here."""

from service.kernel.interface import Kernel
from service.kernel.reference import Reference


def load() -> Kernel:
    """The fastest kernel that is built for this machine."""
    return Reference()
