"""A compiled kernel as Python calls it: signatures, and which one runs here."""

import ctypes
import platform
from pathlib import Path

from service.kernel.place import variants

_AVX512 = {
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512vbmi",
    "avx512_vnni",
    "avx512_vpopcntdq",
    "avx512_vbmi2",
}
FLAGS: dict[str, set[str]] = {
    "amx": {*_AVX512, "amx_tile", "amx_int8"},
    "avx512": _AVX512,
    "avx2": {"avx2", "fma", "bmi2", "f16c"},
}
"""What a processor must have, as Linux names it."""


class Table(ctypes.Structure):
    """`table` in table.h."""

    _fields_ = (
        ("dimension", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("half", ctypes.c_int64),
        ("coded", ctypes.c_int64),
        ("signs", ctypes.c_void_p),
        ("rows", ctypes.c_void_p),
        ("codes", ctypes.c_void_p),
        ("fine", ctypes.c_void_p),
        ("inverse", ctypes.c_void_p),
        ("rest", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
        ("spread", ctypes.c_void_p),
        ("thresholds", ctypes.c_void_p),
        ("factors", ctypes.c_void_p),
        ("biases", ctypes.c_void_p),
        ("alive", ctypes.c_void_p),
        ("used", ctypes.c_int64),
    )


_P, _I, _F = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_SIGNATURES = {
    "meridian_ready": (_I, []),
    "meridian_code_bytes": (_I, [_I]),
    "meridian_put": (None, [_P, _P, _P, _I, _P]),
    "meridian_match": (_I, [_P, _P, _P, _I, _F, _I, _P, _P, _P]),
    "meridian_search": (_I, [_P, _P, _P, _P, _I, _I, _F, _F, _I, _P, _P, _P]),
    "meridian_score": (None, [_P, _P, _F, _P, _I, _P]),
}


def opened(path: Path) -> ctypes.CDLL:
    """The library at `path`; its calls release the GIL. Raises OSError."""
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    if not library.meridian_ready():
        raise OSError(f"{path.name}: the system does not let this process use it")
    return library


def processor() -> set[str]:
    """The processor's flags, where the system tells them."""
    if platform.system() != "Linux":
        return set()
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return set()
    lines = (line for line in text.splitlines() if line.startswith("flags"))
    return set(next(lines, "").split())


def runnable(folder: Path) -> list[tuple[str, Path]]:
    """Variants that were built and that this processor runs, best first."""
    flags = processor()
    found = [(name, folder / f"{name}.so") for name in variants()]
    return [
        (name, path)
        for name, path in found
        if path.exists() and FLAGS.get(name, set()) <= flags
    ]
