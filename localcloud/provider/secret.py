"""Secret values on their way through the provider (pure).

The engine hands them over marked, and what goes back has to be marked again where it
comes from one: else the state would hold it in the open.
"""

from __future__ import annotations

from typing import Any

from localcloud.types.base import UNKNOWN, Json

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Key that marks a special value. Source: pulumi `sdk/go/common/resource/sig`."""
SECRET = "1b47061264138c4ac30d75fd1eb44270"
"""Which special value a secret is. Source: as above."""
VALUE = "value"


def is_secret(value: Any) -> bool:
    """Whether a value is a marked secret."""
    return isinstance(value, dict) and value.get(SIGNATURE) == SECRET


def bare(value: Any) -> Any:
    """The value without marks, for requests and comparisons."""
    return _replaced(value, hide=False)


def hidden(value: Any) -> Any:
    """The value with every secret as good as unknown, for whatever is said aloud."""
    return _replaced(value, hide=True)


def _replaced(value: Any, *, hide: bool) -> Any:
    if is_secret(value):
        return UNKNOWN if hide else _replaced(value[VALUE], hide=False)
    if isinstance(value, dict):
        return {k: _replaced(v, hide=hide) for k, v in value.items()}
    if isinstance(value, list):
        return [_replaced(v, hide=hide) for v in value]
    return value


def marked(values: Json, like: Json) -> Json:
    """The values, secret where `like` has or contains a secret under their name.

    It is what the engine does for providers that know no secrets.
    """
    return {key: _marked(value, like.get(key)) for key, value in values.items()}


def _marked(value: Any, like: Any) -> Any:
    if is_secret(value) or not contains(like):
        return value
    if isinstance(value, dict) and isinstance(like, dict) and not is_secret(like):
        return marked(value, like)
    return {SIGNATURE: SECRET, VALUE: value}


def contains(value: Any) -> bool:
    """Whether there is a secret in it."""
    if isinstance(value, dict):
        return is_secret(value) or any(map(contains, value.values()))
    return isinstance(value, list) and any(map(contains, value))
