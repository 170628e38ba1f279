"""Programs of the world: none runs that is not written down."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from localcloud.control.store import Store
from localcloud.supervisor import Supervisor, start_time

KILLED_BEFORE_THE_ENTRY = """
import asyncio, os, signal, sys
from pathlib import Path
from localcloud.control.store import Store
from localcloud.supervisor import Supervisor

class Killed(Supervisor):
    def register(self, key, pid, **rest):
        print(pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

async def main(folder):
    supervisor = Killed(Store(folder / "control.sqlite"))
    command = ["/bin/sh", "-c", f"touch {folder}/began; exec sleep 60"]
    supervisor.start("sleep", command, log_file=folder / "log")

asyncio.run(main(Path(sys.argv[1])))
"""


async def gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while start_time(pid) is not None:
            await asyncio.sleep(0.02)


async def test_a_program_begins_only_once_it_is_written_down(tmp_path: Path) -> None:
    words = [sys.executable, "-c", KILLED_BEFORE_THE_ENTRY, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    await gone(int(done.stdout))
    assert not (tmp_path / "began").exists()


async def test_a_program_is_run_as_given_and_can_be_adopted(tmp_path: Path) -> None:
    store = Store(tmp_path / "control.sqlite")
    first, log_file = Supervisor(store), tmp_path / "log"
    told = 'printf "<%s>" "$@"; cat; exec sleep 60'
    command = ["/bin/sh", "-c", told, "told", "two words", "$HOME", ""]
    running = first.start("told", command, log_file=log_file, data={"port": 7})
    async with asyncio.timeout(20):
        while log_file.read_text() != "<two words><$HOME><>":
            await asyncio.sleep(0.02)
    adopted = Supervisor(store).adopt("told")
    assert adopted is not None
    assert (adopted.pid, adopted.data) == (running.pid, {"port": 7})
    assert os.getsid(running.pid) == running.pid
    await first.stop(running)
    await asyncio.wait_for(adopted.exited.wait(), 20)
    assert Supervisor(store).adopt("told") is None
