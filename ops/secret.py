"""`meridian secret put`: from standard input to Secret Manager, past Pulumi."""

from __future__ import annotations

import base64
import json
import sys
import urllib.error
import urllib.request

import topology
from ops import stack, world
from ops.errors import BAD_INPUT, CommandError

API = "secretmanager.googleapis.com"
LIMIT_BYTES = 65_536


def read_value() -> bytes:
    """The value on standard input, without its last line feed."""
    if sys.stdin.isatty():
        raise CommandError(
            "the value is read from standard input, so that no history keeps it: "
            "`meridian secret put NAME < file`",
            BAD_INPUT,
        )
    value = sys.stdin.buffer.read().removesuffix(b"\n")
    if not 0 < len(value) <= LIMIT_BYTES:
        text = f"{len(value)} bytes on standard input: 1 to {LIMIT_BYTES} are allowed"
        raise CommandError(text, BAD_INPUT)
    return value


def put(environment: str, name: str, value: bytes) -> str:
    """Add a version; its resource name."""
    stack.stack(environment)
    project = topology.load(environment).project
    path = f"v1/projects/{project}/secrets/{name}:addVersion"
    body = {"payload": {"data": base64.b64encode(value).decode()}}
    base, headers = _endpoint(environment)
    request = urllib.request.Request(
        f"{base}/{path}",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return str(json.load(response)["name"])
    except urllib.error.HTTPError as error:
        answer = json.loads(error.read() or b"{}").get("error", {})
        text = f"secret {name!r}: {answer.get('message', error)}"
        raise CommandError(text, BAD_INPUT) from error
    except OSError as error:
        raise CommandError(f"Secret Manager does not answer: {error}") from error


def _endpoint(environment: str) -> tuple[str, dict[str, str]]:
    """(base address, headers): the local control plane, or Google with its login."""
    if environment == "local":
        return f"{world.world().control}/{API}", {}
    import google.auth
    import google.auth.exceptions
    import google.auth.transport.requests

    try:
        credentials, _ = google.auth.default()
        transport = google.auth.transport.requests.Request()
        credentials.refresh(transport)  # type: ignore[no-untyped-call]
    except google.auth.exceptions.GoogleAuthError as error:
        text = (
            f"no Google credentials ({error}): `gcloud auth application-default login`"
        )
        raise CommandError(text) from error
    return f"https://{API}", {"authorization": f"Bearer {credentials.token}"}
