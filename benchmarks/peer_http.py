"""Servers that `benchmarks.peers` asks over HTTP: Chroma, the public peer's package."""

from __future__ import annotations

import http.client
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.measure import Json
from benchmarks.peer_servers import (
    BATCH,
    COLLECTION,
    DIMENSION,
    EFS,
    FILL_SECONDS,
    HITS,
    START_SECONDS,
)
from benchmarks.wire import Wire, post
from service.kernel.interface import Floats
from tests.service.servers import free_port


class _Program:
    """A server in a process of its own, on a port of its own, and one kept connection.

    After `_start` its `pid` is there.
    """

    name: str

    def __init__(self) -> None:
        self._port = free_port()
        self._wire: Wire | None = None

    def _start(
        self,
        words: list[str],
        folder: Path,
        told: dict[str, str],
        ask: Callable[[], object],
    ) -> None:
        """Returns once `ask` raises no OSError; output goes to `log` in the folder."""
        with (folder / "log").open("ab") as log:
            self._child = subprocess.Popen(
                words, cwd=folder, env=told, stdout=log, stderr=log
            )
        self.pid = self._child.pid
        try:
            self._wait(ask)
        except BaseException:
            self.close()
            raise

    def _wait(self, ask: Callable[[], object]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                ask()
                return
            except OSError:
                if time.monotonic() > deadline or self._child.poll() is not None:
                    raise RuntimeError(f"{self.name} does not start") from None
                time.sleep(0.2)

    def connect(self) -> None:
        if self._wire:
            self._wire.close()
        self._wire = Wire(self._port)

    def close(self) -> None:
        if self._wire:
            self._wire.close()
            self._wire = None
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class Chroma(_Program):
    """Chroma's server (HNSW with its defaults but for cosine and ef), over HTTP.

    Its searches take vectors as JSON numbers only: the shortest that say the f32.
    """

    name = "chroma"
    settings = EFS
    _BASE = "/api/v2/tenants/default_tenant/databases/default_database/collections"

    def __init__(self, folder: Path, venv: Path) -> None:
        super().__init__()
        folder.mkdir()
        self._folder = folder
        self._words = [str((venv / "bin" / "chroma").absolute()), "run"]
        self._words += ["--path", str(folder / "data"), "--host", "127.0.0.1"]
        self._words += ["--port", str(self._port)]
        self._collection = ""
        (found,) = venv.glob("lib/python3*/site-packages/chromadb-*.dist-info")
        self.version = found.name.split("-")[1].removesuffix(".dist")
        self._begin()

    def _begin(self) -> None:
        told = {"PATH": os.environ["PATH"], "HOME": str(self._folder)}
        told |= {"ANONYMIZED_TELEMETRY": "False", "RUST_LOG": "error"}
        beat = "/api/v2/heartbeat"
        self._start(self._words, self._folder, told, lambda: self._call("GET", beat))

    def _call(self, method: str, path: str, body: Json | None = None) -> Any:
        one = http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)
        data = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY) if body else None
        one.request(method, path, data, {"content-type": "application/json"})
        answer = one.getresponse()
        text = answer.read()
        one.close()
        if answer.status >= 300:
            raise RuntimeError(f"chroma: {path}: {answer.status} {text[:500]!r}")
        return orjson.loads(text)

    def fill(self, rows: Floats) -> None:
        space = {"hnsw": {"space": "cosine"}}
        made = self._call(
            "POST", self._BASE, {"name": COLLECTION, "configuration": space}
        )
        self._collection = f"{self._BASE}/{made['id']}"
        deadline = time.monotonic() + FILL_SECONDS
        for start in range(0, len(rows), BATCH):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{start} rows in {FILL_SECONDS} s")
            part = rows[start : start + BATCH]
            ids = [f"i{n}" for n in range(start, start + len(part))]
            body = {"ids": ids, "embeddings": list(part)}
            self._call("POST", f"{self._collection}/add", body)

    def use(self, setting: float) -> None:
        # An index that is loaded keeps the ef that it was loaded with.
        body = {"new_configuration": {"hnsw": {"ef_search": setting}}}
        self._call("PUT", self._collection, body)
        self.close()
        self._begin()
        self.connect()

    def request(self, query: Floats) -> bytes:
        asked = {
            "query_embeddings": [np.ascontiguousarray(query)],
            "n_results": HITS,
            "include": ["distances"],
        }
        body = orjson.dumps(asked, option=orjson.OPT_SERIALIZE_NUMPY)
        return post(f"{self._collection}/query", body)

    def ask(self, request: bytes) -> bytes:
        assert self._wire
        return self._wire.ask(request)

    def rows_of(self, answer: bytes) -> list[int]:
        return [int(name[1:]) for name in orjson.loads(answer)["ids"][0]]


class Npm(_Program):
    """The public peer's npm package (HNSW, m 16, ef_construction 200), behind a bare
    HTTP server of Node that takes the bytes of a vector: `peer_npm.js`."""

    name = "npm-peer"
    settings = (32, 256)

    def __init__(self, folder: Path, modules: Path) -> None:
        super().__init__()
        folder.mkdir()
        self._ef = self.settings[-1]
        package = modules / "@ruvector" / "core" / "package.json"
        self.version = orjson.loads(package.read_bytes())["version"]
        words = ["node", str(Path(__file__).with_name("peer_npm.js")), str(self._port)]
        words += map(str, (DIMENSION, HITS, *self.settings))
        told = {"PATH": os.environ["PATH"], "NODE_PATH": str(modules.absolute())}
        self._start(words, folder, told, self.connect)

    def fill(self, rows: Floats) -> None:
        deadline = time.monotonic() + 2 * FILL_SECONDS
        for start in range(0, len(rows), BATCH):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{start} rows in {2 * FILL_SECONDS} s")
            part = rows[start : start + BATCH].tobytes()
            one = http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)
            one.request("POST", f"/fill?first={start}", part)
            if one.getresponse().status != 200:
                raise RuntimeError(f"rows from {start} on were refused")
            one.close()

    def use(self, setting: float) -> None:
        self._ef = int(setting)

    def request(self, query: Floats) -> bytes:
        return query.tobytes()

    def ask(self, request: bytes) -> bytes:
        assert self._wire
        return self._wire.ask(post(f"/query?ef={self._ef}", request))

    def rows_of(self, answer: bytes) -> list[int]:
        return [int(hit["id"][1:]) for hit in orjson.loads(answer)]
