"""PgBouncer before a server, as Google runs a pooler before its own."""

import shutil
import socket
import time
from pathlib import Path

from tests.service.servers import Process, as_postgres, free_port

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
SESSIONS = 4
"""Fewer than the clients want, so that they share."""
CONFIGURATION = """\
[databases]
postgres = host=127.0.0.1 port={server} user=meridian
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
server_round_robin = 1
max_client_conn = 500
query_wait_timeout = 10
server_login_retry = 0.2
"""


class Pooler:
    """Lends sessions of a server for one transaction each, the longest unused first."""

    def __init__(self, folder: Path, server: int) -> None:
        assert PROGRAM is not None, "pgbouncer is not installed"
        folder.mkdir()
        self.port = free_port()
        file = folder / "pgbouncer.ini"
        text = CONFIGURATION.format(server=server, port=self.port, sessions=SESSIONS)
        file.write_text(text)
        folder.chmod(0o755)
        self.process = Process(as_postgres([PROGRAM, str(file)]), folder / "log")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process.start()
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < until, self.process.log.read_text()[-2000:]
                time.sleep(0.02)

    def stop(self) -> None:
        self.process.kill()
