"""Which operation an HTTP method and path ask for."""

import re
from typing import NamedTuple

from service.contract import OPERATIONS, Operation, ServiceError
from service.contract.operations import COLLECTION

_COLLECTION = re.compile(r"^/v1/collections/([^/:]+)(.*)$", re.S)
ALIASES = {
    "/api/v1/search": "search",
    "/api/v1/insert": "upsert",
    "/api/v1/embed": "embed",
}
"""Paths of another service of this kind whose meaning fits; the collection is in the
body."""


class Route(NamedTuple):
    """An operation and what of its request stands in the path."""

    operation: Operation
    fields: dict[str, str]


class Routes:
    """The paths of the table, ready to be looked up."""

    def __init__(self) -> None:
        self._whole: dict[str, dict[str, Operation]] = {}
        self._rest: dict[str, dict[str, Operation]] = {}
        self._below: list[tuple[str, str, dict[str, Operation]]] = []
        below: dict[tuple[str, str], dict[str, Operation]] = {}
        for operation in OPERATIONS.values():
            if not operation.path.startswith(COLLECTION):
                self._whole.setdefault(operation.path, {})[operation.method] = operation
                continue
            rest = operation.path.removeprefix(COLLECTION)
            if "{" in rest:
                prefix, name = rest.rstrip("}").split("{")
                below.setdefault((prefix, name), {})[operation.method] = operation
            else:
                self._rest.setdefault(rest, {})[operation.method] = operation
        for path, name in ALIASES.items():
            self._whole[path] = {"POST": OPERATIONS[name]}
        self._below = [(prefix, name, found) for (prefix, name), found in below.items()]

    def find(self, method: str, path: str) -> Route:
        """The route; raises ServiceError `not_found` or `method_not_allowed`."""
        found, fields = self._look_up(path)
        if not found:
            raise ServiceError(
                "not_found", f"There is no {path[:200]}: see /v1/schema."
            )
        if method not in found:
            raise ServiceError(
                "method_not_allowed",
                f"{method} {path[:200]}: allowed is {', '.join(found)}.",
            )
        return Route(found[method], fields)

    def _look_up(self, path: str) -> tuple[dict[str, Operation], dict[str, str]]:
        matched = _COLLECTION.match(path)
        if matched is None:
            return self._whole.get(path, {}), {}
        # The server has decoded the path.
        name, rest = matched[1], matched[2]
        if rest in self._rest:
            return self._rest[rest], {"collection": name}
        for prefix, field, found in self._below:
            if rest.startswith(prefix) and len(rest) > len(prefix):
                return found, {"collection": name, field: rest.removeprefix(prefix)}
        return {}, {}
