"""Where the C kernel is built, and in which variants."""

import hashlib
import os
import platform
from pathlib import Path

FOLDER = Path(__file__).parent
FLAGS = (
    "-std=c11",
    "-O3",
    "-fPIC",
    "-shared",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    # Sums may be reordered: that is what makes them vectors. NaN stays NaN.
    "-fassociative-math",
)
_AVX512 = ("-march=icelake-server", "-mprefer-vector-width=512")
VARIANTS: dict[str, tuple[str, ...]] = {
    "amx": (*_AVX512, "-mamx-tile", "-mamx-int8"),
    "avx512": _AVX512,
    "avx2": ("-march=haswell",),
    "portable": (),
}
"""Best first."""


def sources() -> list[Path]:
    """The C files that are compiled."""
    return sorted(FOLDER.glob("*.c"))


def variants() -> dict[str, tuple[str, ...]]:
    """The variants of this architecture."""
    if platform.machine() in ("x86_64", "AMD64"):
        return VARIANTS
    if platform.machine() in ("aarch64", "arm64"):
        return {"neon": ()}
    return {"portable": ()}


def digest() -> str:
    """Names the sources, their headers and how they are compiled."""
    made = hashlib.sha256(repr((FLAGS, VARIANTS)).encode())
    for path in (*sources(), *sorted(FOLDER.glob("*.h"))):
        made.update(path.name.encode() + b"\0" + path.read_bytes())
    return made.hexdigest()


def default_folder() -> Path:
    """Below the user's cache, named by the sources that it was built from."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "meridian" / f"kernel-{digest()[:12]}"
