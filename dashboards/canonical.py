"""JSON in the one form that the server returns unchanged.

Google drops what equals its default and adds what it likes; the provider forgives the
second but shows the first as a change for ever. So nothing of the kind is ever sent.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SERVER_OWNED = ("name", "etag")
"""Top-level keys that only the server writes."""


def prune(value: Any) -> Any:
    """The value without nulls, zeros, false, empty texts, lists and blocks."""
    if isinstance(value, Mapping):
        kept = {key: prune(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if not _is_default(inner)}
    if isinstance(value, list | tuple):
        return [prune(inner) for inner in value]
    return value


def canonical(value: Mapping[str, Any]) -> str:
    """Pruned, keys sorted, no spaces: equal content is equal text."""
    content = {key: inner for key, inner in value.items() if key not in SERVER_OWNED}
    return json.dumps(prune(content), sort_keys=True, separators=(",", ":"))


def digest(value: Mapping[str, Any]) -> str:
    """Short hash of the content.

    Carried as a label: a key that is only removed shows no change to the provider, a
    label that changes does.
    """
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:12]


def _is_default(value: Any) -> bool:
    return value is None or value is False or value in ("", 0, [], {}, ())
