"""Where the C kernel is built, and in which variants."""

import hashlib
import os
import platform
from pathlib import Path

SOURCE = Path(__file__).with_name("scan.c")
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
VARIANTS: dict[str, tuple[str, ...]] = {
    "avx512": ("-march=icelake-server", "-mprefer-vector-width=512"),
    "avx2": ("-march=haswell",),
    "portable": (),
}
"""Best first."""


def variants() -> dict[str, tuple[str, ...]]:
    """The variants of this architecture."""
    if platform.machine() in ("x86_64", "AMD64"):
        return VARIANTS
    return {"portable": ()}


def default_folder() -> Path:
    """Below the user's cache, named by the source that it was built from."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    digest = hashlib.sha256(SOURCE.read_bytes() + repr(FLAGS).encode()).hexdigest()
    return Path(cache) / "meridian" / f"kernel-{digest[:12]}"
