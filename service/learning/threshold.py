"""The threshold that keeps what is wanted of a stream's rate when its vector moves."""

import numpy
from numpy.typing import NDArray


def calibrated(
    threshold: float,
    before: "NDArray[numpy.float32]",
    after: "NDArray[numpy.float32]",
    good: int = 0,
    bad: int = 0,
) -> float:
    """The threshold that the wanted share of as many changes reaches as before.

    The share is what marks say, two good ones added: without marks it is all, so the
    rate stays; marks that were half bad about halve it. `before` and `after` are
    scores of the same changes. Where too few are known, or none reached the old one,
    what the highest score gained is added: the rate that cannot be measured is at
    least not flooded.
    """
    if not len(before):
        return threshold
    reached = int((before >= threshold).sum())
    if not reached:
        return threshold + max(0.0, float(after.max()) - float(before.max()))
    reached = max(1, reached * (good + 2) // (good + bad + 2))
    ordered = numpy.sort(after)[::-1]
    least = float(ordered[reached - 1])
    if reached == len(ordered):
        return least
    # Between the last that is told and the first that is not.
    return (least + float(ordered[reached])) / 2
