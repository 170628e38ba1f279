"""Which kernel runs here."""

from service.kernel.interface import Kernel
from service.kernel.native import load as load_native
from service.kernel.reference import Reference


def load() -> Kernel:
    """The fastest kernel that is built for this machine, else the reference."""
    return load_native() or Reference()
