"""Scoring of vectors: the numpy reference and the C kernel, one interface."""

from service.kernel.choose import load
from service.kernel.interface import Index, Kernel, Matches

__all__ = ["Index", "Kernel", "Matches", "load"]
