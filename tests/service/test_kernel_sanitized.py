"""The C sources under AddressSanitizer and UBSan, with tables of random content."""

import shutil
import subprocess

import pytest

from service.kernel.library import FLAGS, processor
from service.kernel.place import FOLDER, sources, variants
from tests.service.kernel_main import MAIN

SECONDS = "2"
CHECKS = "-fsanitize=address,undefined,float-cast-overflow"


@pytest.mark.parametrize("variant", list(variants()))
def test_no_access_is_out_of_bounds_and_nothing_is_undefined(variant, tmp_path):
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no gcc or clang here: sanitizers need one")
    if not FLAGS.get(variant, set()) <= processor():
        pytest.skip(f"this processor does not run {variant}")
    main, program = tmp_path / "main.c", tmp_path / "main"
    main.write_text(MAIN)
    command = [compiler, "-std=c11", "-O0", "-g", CHECKS, "-fno-sanitize-recover=all"]
    command += ["-Wall", "-Wextra", *variants()[variant], f"-I{FOLDER}", str(main)]
    command += [*map(str, sources()), "-o", str(program), "-lm"]
    built = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False
    )
    if built.returncode:
        if "sanitize" in built.stderr or "asan" in built.stderr:
            pytest.skip(f"{compiler} has no sanitizers: {built.stderr[-300:]}")
        pytest.fail(built.stderr[-3000:])
    assert not built.stderr, built.stderr
    done = subprocess.run(
        [program, SECONDS], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode == 3:
        pytest.skip(f"the system does not let a process use {variant}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[0]) > 5
