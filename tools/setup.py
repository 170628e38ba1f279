"""Set-up: everything that a fresh clone needs, from package registries alone.

Run by the machine's own Python (3.11 or newer, standard library only). Each step leaves
a stamp of what it was made
from, so a second run takes a fraction of a second. What is built once for all clones
(engine, language host,
Prometheus, kernel) lies in the user's cache folder, behind a lock, and is moved into
place whole.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import toolchain
from tools.progress import SetupError, run, step

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMPS = ROOT / ".meridian" / "stamps"


def digest(*paths: Path) -> str:
    """Hash of the contents of files, and of all files below folders."""
    total = hashlib.sha256(str(sys.version_info[:2]).encode())
    for path in paths:
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                total.update(str(file.relative_to(ROOT)).encode())
                total.update(file.read_bytes())
    return total.hexdigest()


def stamped(name: str, key: str, made: Path) -> bool:
    """Whether `made` exists and came from inputs that hash to `key`."""
    stamp = STAMPS / name
    return made.exists() and stamp.exists() and stamp.read_text() == key


def stamp(name: str, key: str) -> None:
    STAMPS.mkdir(parents=True, exist_ok=True)
    (STAMPS / name).write_text(key)


def virtual_environment() -> None:
    """The Python packages, pinned by hash."""
    lock = ROOT / "requirements" / "dev.txt"
    key = digest(lock)
    if stamped("venv", key, PYTHON):
        return
    with step("Python packages"):
        if not PYTHON.exists():
            run([sys.executable, "-m", "venv", "--clear", str(VENV)])
        pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "-q"]
        uv_lock = str(ROOT / "requirements" / "uv.txt")
        run([*pip, "install", "--require-hashes", "-r", uv_lock])
        sync = [str(VENV / "bin" / "uv"), "pip", "sync", "-q", "--compile-bytecode"]
        run(
            [*sync, "--python", str(PYTHON), "--require-hashes", str(lock), uv_lock],
            remedy="check the network and the disk's free space, then run it again",
        )
        expose_packages()
    stamp("venv", key)


def expose_packages() -> None:
    """Put the clone on the environment's path, and `meridian` in its bin folder."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = VENV / "lib" / version / "site-packages"
    (site / "meridian.pth").write_text(f"{ROOT}\n")
    command = VENV / "bin" / "meridian"
    command.write_text(
        f"#!{PYTHON}\nimport sys\nfrom ops.cli import main\nsys.exit(main())\n"
    )
    command.chmod(0o755)


def page() -> None:
    """The static bundle of the page."""
    source = ROOT / "console"
    if not (source / "package.json").exists():
        return
    inputs = [source / name for name in ("package.json", "package-lock.json", "src")]
    extra = [p for p in source.glob("*.*") if p.suffix in {".html", ".ts", ".json"}]
    key = digest(*sorted(p for p in {*inputs, *extra} if p.exists()))
    if stamped("page", key, source / "dist" / "index.html"):
        return
    node = toolchain.node(PYTHON)
    env = {**os.environ, "PATH": f"{node}{os.pathsep}{os.environ['PATH']}"}
    with step("Page"):
        run(["npm", "ci", "--no-audit", "--no-fund"], cwd=source, env=env)
        run(["npm", "run", "build"], cwd=source, env=env)
    stamp("page", key)


def kernel() -> None:
    """The C kernel of the service; without a compiler the numpy reference runs."""
    source = ROOT / "service" / "kernel"
    if not (source / "build.py").exists():
        return
    key = digest(source)
    if stamped("kernel", key, PYTHON):
        return
    with step("Kernel") as say:
        env = {**os.environ, "CC": " ".join(toolchain.compiler(PYTHON))}
        done = subprocess.run(
            [str(PYTHON), "-m", "service.kernel.build"],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            say(f"not compiled, the numpy reference runs: {done.stderr.strip()[-200:]}")
    stamp("kernel", key)


def main() -> int:
    if sys.version_info < (3, 11):
        have = ".".join(map(str, sys.version_info[:3]))
        print(f"Python {have} is too old: Meridian needs 3.11 or newer.")
        return 1
    started = time.monotonic()
    try:
        virtual_environment()
        toolchain.engine(PYTHON)
        toolchain.yaml_host(PYTHON)
        toolchain.prometheus(PYTHON)
        toolchain.drop_go_caches()
        kernel()
        page()
    except SetupError as error:
        print(f"\nset-up stopped: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"\nset-up stopped: {error}. Check the disk's free space.", file=sys.stderr
        )
        return 1
    took = time.monotonic() - started
    if took > 2:
        print(f"set-up done in {took:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
