"""A way between a primary and its standby that takes its time."""

import asyncio
import contextlib
import threading

from tests.service.servers import free_port
from tests.service.world import Region


class SlowLink:
    """Forwards a port of loopback; what the server sends arrives `delay` s later."""

    def __init__(self, target: int, delay: float) -> None:
        self.port = free_port()
        self._target, self._delay = target, delay
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader, writer) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(
                self._pass(reader, back, 0.0), self._pass(there, writer, self._delay)
            )

    async def _pass(self, reader, writer, delay: float) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self._loop.call_later(delay, writer.write, data)
        self._loop.call_later(delay, writer.close)

    async def follow(self, standby: Region) -> None:
        """Lets a standby follow its primary this way from now on."""
        connection = await standby.postgres.connect()
        known = await connection.fetchval("SHOW primary_conninfo")
        target = f"port={self._target}"
        assert target in known
        line = known.replace(target, f"port={self.port}").replace("'", "''")
        file = standby.postgres.folder / "postgresql.auto.conf"
        with file.open("a") as settings:
            settings.write(f"primary_conninfo = '{line}'\n")
        await connection.execute("SELECT pg_reload_conf()")
        for _ in range(100):
            receiver = await connection.fetchrow(
                "SELECT status, sender_port FROM pg_stat_wal_receiver"
            )
            if receiver and tuple(receiver) == ("streaming", self.port):
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("the standby does not follow the slow way")
        await connection.close()

    def close(self) -> None:
        """Cuts it."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _end(self) -> None:
        self._server.close()
        here = asyncio.current_task()
        tasks = [t for t in asyncio.all_tasks() if t is not here]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
