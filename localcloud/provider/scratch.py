"""A cloud that keeps nothing: every create succeeds, with made-up computed values.

Only for rehearsals: a revision is applied to a scratch state, so that another one can
be previewed on it. What is made up is the same for the same resource every time, so a
value that two revisions share is no change.
"""

from __future__ import annotations

from localcloud.types.base import IamMemberType, Json, ResourceType, google_body
from localcloud.types.base import short_hash as digest

COMPUTE_LINK = "https://www.googleapis.com/"


class Scratch:
    """Stands where `Cloud` does."""

    async def close(self) -> None:
        """Nothing was opened."""

    async def create(self, kind: ResourceType, inputs: Json, project: str) -> Json:
        """The body that the inputs come to."""
        return _body(kind, inputs, kind.resource_path(inputs, project))

    async def read(self, kind: ResourceType, path: str) -> Json | None:
        """Nothing is known besides the state."""
        return None

    async def update(self, kind: ResourceType, inputs: Json, path: str) -> Json:
        """As if it had been changed."""
        return _body(kind, inputs, path)

    async def delete(self, kind: ResourceType, path: str) -> None:
        """As if it had been deleted."""

    async def bind(self, kind: IamMemberType, inputs: Json, project: str) -> str:
        """The path of the policy."""
        return kind.policy(inputs, project)

    async def unbind(self, kind: IamMemberType, inputs: Json, project: str) -> None:
        """As if the member had been taken out."""


def _body(kind: ResourceType, inputs: Json, path: str) -> Json:
    body = google_body(kind, inputs)
    if kind.defaults:
        kind.defaults(body)
    # Addresses of RFC 5737 and RFC 2544, for documentation and benchmarks.
    number = int(digest(path), 16)
    address = f"198.{18 + number % 2}.{number // 256 % 256}.{number % 256}"
    made = {
        "selfLink": f"{COMPUTE_LINK}{path}",
        "address": address,
        "host": address,
        "port": 6378,
        "ipAddresses": [{"ipAddress": address}],
        "serverCaCerts": [],
    }
    return {**made, **body, "__path": path}
