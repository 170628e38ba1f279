"""Where one clone's world lives: folders, loopback network, addresses."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from localcloud.errors import WorldError

CONTROL_PORT = 4000
PROMETHEUS_PORT = 9090
ENVOY_ADMIN_PORT = 9901
FIRST_LISTENER_PORT = 8001
FIRST_PART = 10
"""Last octet of the first address given to a part (SQL, Redis)."""
ATTEMPTS = 50


@dataclass(frozen=True)
class World:
    """Folders and network of one clone. All state lies below `home`."""

    home: Path
    network: str
    """First three octets: a private /24 of the loopback range, so ports never collide
    between clones.
    """

    @property
    def address(self) -> str:
        """Loopback address of the control plane, Envoy and Prometheus."""
        return f"{self.network}.1"

    @property
    def control(self) -> str:
        """Base URL of the control plane and of the page."""
        return f"http://{self.address}:{CONTROL_PORT}"

    @property
    def prometheus(self) -> str:
        return f"http://{self.address}:{PROMETHEUS_PORT}"

    @property
    def envoy_admin(self) -> str:
        return f"http://{self.address}:{ENVOY_ADMIN_PORT}"

    def folder(self, *names: str) -> Path:
        """A folder below `home`, made when missing."""
        path = self.home.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def part_address(self, index: int) -> str:
        """Address of the index-th part that listens on a port of its own."""
        if FIRST_PART + index > 254:
            raise WorldError(f"{index} parts: a world holds {254 - FIRST_PART}")
        return f"{self.network}.{FIRST_PART + index}"


def open_world(root: Path) -> World:
    """The world of a clone; its network is drawn once and kept in `world.json`."""
    home = root / ".meridian" / "world"
    home.mkdir(parents=True, exist_ok=True)
    file = home / "world.json"
    if file.exists():
        return World(home, json.loads(file.read_text())["network"])
    world = World(home, _free_network(root))
    scratch = file.with_suffix(".new")
    scratch.write_text(json.dumps({"network": world.network}))
    os.replace(scratch, file)
    return world


def _free_network(root: Path) -> str:
    """A /24 whose ports nobody holds, first guess by the clone's path."""
    for attempt in range(ATTEMPTS):
        digest = hashlib.sha256(f"{root}:{attempt}".encode()).digest()
        network = f"127.{64 + digest[0] % 64}.{digest[1]}"
        if _free(f"{network}.1", CONTROL_PORT) and _free(f"{network}.10", 5432):
            return network
    raise WorldError(
        f"no free loopback network after {ATTEMPTS} attempts: something listens on "
        f"port {CONTROL_PORT} or 5432 of every address; stop it and run `meridian up`"
    )


def _free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
