"""Compiles the C kernel: `python -m service.kernel.build [--output DIR]`.

One library for each set of instructions; `native.load` takes the best one that
this processor has. The compiler is the system's `cc`, else PyPI `ziglang`.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from service.kernel.place import FLAGS, default_folder, sources, variants


def compiler() -> list[str]:
    """The command of a C compiler; raises SystemExit when there is none."""
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return [found]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise SystemExit(
        "No C compiler: install gcc or clang, or `pip install ziglang`. Without the "
        "C kernel the service runs with numpy."
    )


def build(folder: Path) -> list[str]:
    """Builds every variant that the compiler knows; returns their names."""
    command = compiler()
    folder.mkdir(parents=True, exist_ok=True)
    built = []
    files = [str(path) for path in sources()]
    for name, flags in variants().items():
        # Renamed when whole: another process may be loading or building it.
        part = folder / f".{name}.{os.getpid()}"
        done = subprocess.run(
            [*command, *FLAGS, *flags, *files, "-o", str(part), "-lm"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            part.replace(folder / f"{name}.so")
            built.append(name)
        else:
            print(f"{name}: {done.stderr.strip()[-300:]}", file=sys.stderr)
    return built


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=None)
    folder = parser.parse_args().output or default_folder()
    built = build(folder)
    if not built:
        raise SystemExit("No variant could be compiled.")
    print(f"{folder}: {', '.join(built)}")


if __name__ == "__main__":
    main()
