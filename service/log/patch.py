"""JSON merge patch (RFC 7396) of an item's metadata."""

from typing import Any

import orjson


def merged(text: str, patch: dict[str, Any]) -> str:
    """JSON text of an object with a patch merged in; null removes a key."""
    return orjson.dumps(_merge(orjson.loads(text), patch)).decode()


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    made = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merge(made.get(key), value)
    return made
