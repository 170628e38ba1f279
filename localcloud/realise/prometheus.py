"""Monitoring: one Prometheus with the world's instances as targets and the declared
alert policies as rules.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re

import yaml

from localcloud.control.pushed import PUSH_VARIABLE
from localcloud.control.store import Json, Row, Store
from localcloud.realise.run import Run, region_of
from localcloud.supervisor import Running, Supervisor
from localcloud.world import PROMETHEUS_PORT, World
from tools.toolchain import prometheus_binary

log = logging.getLogger("prometheus")
KEY = "prometheus"
ALERT = "gcp:monitoring/alertPolicy:AlertPolicy"
SCRAPE_SECONDS = 2
SETTLE_SECONDS = 0.5
RETENTION = "2h"


class Prometheus:
    """Realiser of alert policies; started with the world."""

    def __init__(
        self, world: World, store: Store, supervisor: Supervisor, run: Run
    ) -> None:
        self._world, self._store = world, store
        self._supervisor, self._run = supervisor, run
        self._folder = world.folder("prometheus")
        self._pending: asyncio.TimerHandle | None = None
        run.changed.append(self._schedule)

    async def ensure(self, row: Row) -> Json:
        self._schedule()
        return {}

    async def remove(self, row: Row) -> None:
        self._schedule()

    def _schedule(self) -> None:
        if self._pending is None:
            loop = asyncio.get_running_loop()
            self._pending = loop.call_later(SETTLE_SECONDS, self._refresh)

    def _refresh(self) -> None:
        self._pending = None
        self._write("targets.json", json.dumps(self._targets()))
        if self._write("rules.yaml", yaml.safe_dump(self._rules())):
            running = self._supervisor.running.get(KEY)
            if running:
                self._supervisor.signal(running, 1)

    def _targets(self) -> list[Json]:
        found = []
        for path, pool in sorted(self._run.pools.items()):
            if pool.spec is not None and dict(pool.spec.env).get(PUSH_VARIABLE):
                continue
            ports = sorted(i.admin for i in pool.instances.values() if i.ready)
            labels = {"region": region_of(path), "service": path.rsplit("/", 1)[-1]}
            targets = [f"127.0.0.1:{port}" for port in ports]
            found.append({"targets": targets, "labels": labels})
        return found

    def _rules(self) -> Json:
        rules = []
        for row in self._store.all(ALERT):
            for condition in row.body.get("conditions", ()):
                query = condition.get("conditionPrometheusQueryLanguage")
                if query:
                    rules.append(_rule(row.body, query))
        rules.sort(key=lambda rule: rule["alert"])
        return {"groups": [{"name": "meridian", "interval": "5s", "rules": rules}]}

    def _write(self, name: str, text: str) -> bool:
        file = self._folder / name
        if file.exists() and file.read_text() == text:
            return False
        scratch = self._folder / f".{name}"
        scratch.write_text(text)
        os.replace(scratch, file)
        return True

    def start(self) -> None:
        """Start or adopt the server."""
        if self._supervisor.adopt(KEY, self._ended):
            return
        self._refresh()
        configuration = {
            "global": {
                "scrape_interval": f"{SCRAPE_SECONDS}s",
                "evaluation_interval": "5s",
            },
            "rule_files": [str(self._folder / "rules.yaml")],
            "scrape_configs": [
                {
                    "job_name": "service",
                    "file_sd_configs": [
                        {"files": [str(self._folder / "targets.json")]}
                    ],
                }
            ],
        }
        self._write("prometheus.yaml", yaml.safe_dump(configuration))
        command = [
            str(prometheus_binary()),
            f"--config.file={self._folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--storage.tsdb.retention.time={RETENTION}",
            f"--web.listen-address={self._world.address}:{PROMETHEUS_PORT}",
            "--log.level=warn",
            "--web.enable-otlp-receiver",
        ]
        log_file = self._world.home / "logs" / "prometheus.log"
        env = {"GOGC": "40", "GOMAXPROCS": "1", "HOME": str(self._folder)}
        self._supervisor.start(
            KEY, command, log_file=log_file, env=env, on_exit=self._ended
        )

    def _ended(self, running: Running) -> None:
        if not running.stopping:
            log.warning("Prometheus ended: started again")
            asyncio.get_running_loop().call_later(1.0, self.start)


def _rule(policy: Json, query: Json) -> Json:
    name = query.get("alertRule") or re.sub(r"\W+", "", policy["displayName"])
    content = policy.get("documentation", {}).get("content", "")
    return {
        "alert": name,
        "expr": query["query"],
        "for": query.get("duration", "0s"),
        "labels": {"severity": policy.get("severity", "WARNING").lower()},
        "annotations": {"summary": policy["displayName"], "description": content},
    }
