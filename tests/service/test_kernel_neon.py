"""The kernel's tests on NEON, under emulation of a processor that has it.

Needs `aarch64-linux-gnu-gcc`, `qemu-aarch64`, and in `MERIDIAN_ARM64` the root of a
Debian for arm64 with Python, besides a folder `site` with numpy, pytest, hypothesis and
what they need: `docs/kernel.md` has the commands.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.service.servers import ROOT

COMPILER = shutil.which("aarch64-linux-gnu-gcc")
EMULATOR = shutil.which("qemu-aarch64")
SYSTEM = os.environ.get("MERIDIAN_ARM64", "")
FILES = ("test_kernel.py", "test_kernel_metrics.py")
RUN = """
import sys
sys.path[:0] = sys.argv[1:3]
import pytest
from tests.service.kernel_build import kernels
assert [k.name for k in kernels()] == ["numpy", "neon"], kernels()
words = ["-q", "-p", "no:cacheprovider", "--noconftest", "-c", "/dev/null"]
sys.exit(pytest.main([*words, "--rootdir", sys.argv[2], *sys.argv[3:]]))
"""


@pytest.mark.timeout(900)
@pytest.mark.skipif(
    not (COMPILER and EMULATOR and SYSTEM),
    reason="emulation needs aarch64-linux-gnu-gcc, qemu-aarch64 and MERIDIAN_ARM64",
)
def test_the_kernel_does_the_same_on_neon(tmp_path):
    (tmp_path / "cc").symlink_to(COMPILER)
    system = Path(SYSTEM)
    python = next((system / "usr" / "bin").glob("python3.*"))
    tests = [str(ROOT / "tests" / "service" / name) for name in FILES]
    done = subprocess.run(
        [EMULATOR, "-L", SYSTEM, python, "-c", RUN, system / "site", ROOT, *tests],
        env={"PATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout
    assert "failed" not in done.stdout
