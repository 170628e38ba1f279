"""Validation of decoded JSON against the shapes; early, complete, in words."""

import binascii
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any, NamedTuple, TypeVar

import numpy
import orjson
import pybase64
from numpy.typing import NDArray

from service.contract.errors import ServiceError
from service.contract.filters import parse_filter

T = TypeVar("T")
Check = Callable[[Any, str], Any]
"""Takes a value and where it stands; returns it, or raises ServiceError."""
_MOST_FLOAT32 = 3.4028234663852886e38


def shown(value: object) -> str:
    """A value as an error message shows it: short, never the whole vector."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


class _Shape(NamedTuple):
    """What is known of a shape's keys, worked out once."""

    fields: dict[str, tuple[str, Check]]
    """By key its attribute and the check of a value."""
    required: tuple[str, ...]
    choices: tuple[tuple[str, ...], ...]
    """Attributes of which exactly one is given."""


@cache
def _read(shape: type[Any]) -> _Shape:
    found = {f.name.rstrip("_"): f for f in fields(shape)}
    return _Shape(
        {key: (f.name, _check_of(f)) for key, f in found.items()},
        tuple(key for key, f in found.items() if f.default is MISSING),
        getattr(shape, "CHOICES", ()),
    )


def parse(shape: type[T], given: object, where: str = "body") -> T:
    """`given` as a `shape`; raises ServiceError naming key, value and limit."""
    if not isinstance(given, dict):
        raise _wrong(where, given, "a JSON object")
    known, required, choices = _read(shape)  # type: ignore[arg-type]  # mypy: type[T]
    if not given.keys() <= known.keys():
        raise _unknown(next(k for k in given if k not in known), known, where)
    for key in required:
        if given.get(key) is None:
            raise ServiceError(
                "missing_key",
                f"{where}: {key} is missing; required: {', '.join(required)}.",
                details={"key": key},
            )
    values = {}
    for key, value in given.items():
        if value is not None:
            name, check = known[key]
            values[name] = check(value, f"{where}.{key}")
    for names in choices:
        _one_of(names, values, where)
    return shape(**values)


def _unknown(key: object, known: Iterable[str], where: str) -> ServiceError:
    allowed = sorted(known)
    return ServiceError(
        "unknown_key",
        f"{where}: unknown key {shown(key)}; allowed: {', '.join(allowed)}.",
        details={"key": str(key)[:64], "allowed": allowed},
    )


def _one_of(names: tuple[str, ...], values: dict[str, Any], where: str) -> None:
    given = [name for name in names if name in values]
    if len(given) != 1:
        raise ServiceError(
            "bad_request",
            f"{where}: {' and '.join(given) or 'none'} of {', '.join(names)} given: "
            "send exactly one.",
        )


def _check_of(field: "Field[Any]") -> Check:
    """How a field's value is checked."""
    rules = field.metadata
    if rules.get("vector"):
        return _is(list | str | bytes, "a list of numbers or base64")
    if rules.get("origin"):
        return _anything
    if rules.get("filter"):
        return parse_filter
    if "of" in rules:
        return _is(list, "a list")
    kind = str(field.type)
    if "dict" in kind:
        return _is(dict, "a JSON object")
    if "str" in kind:
        return _string(rules)
    if "bool" in kind:
        return _is(bool, "true or false")
    return _number(rules, whole="int" in kind)


def _anything(value: Any, where: str) -> Any:
    return value


def _is(kind: Any, allowed: str) -> Check:
    def check(value: Any, where: str) -> Any:
        if not isinstance(value, kind):
            raise _wrong(where, value, allowed)
        return value

    return check


def _wrong(where: str, value: object, allowed: str) -> ServiceError:
    return ServiceError("wrong_type", f"{where} is {shown(value)}: send {allowed}.")


def _string(rules: Mapping[str, Any]) -> Check:
    enum, pattern = rules.get("enum"), rules.get("pattern")
    matches = re.compile(pattern).search if pattern else None
    least, most = rules.get("minLength", 0), rules.get("maxLength", sys.maxsize)

    def check(value: Any, where: str) -> str:
        if not isinstance(value, str):
            raise _wrong(where, value, "a string")
        if enum is not None and value not in enum:
            allowed = ", ".join(enum)
        elif matches is not None and not matches(value):
            allowed = str(pattern)
        elif len(value) > most:
            raise ServiceError(
                "out_of_range",
                f"{where} has {len(value)} characters; at most {most}.",
            )
        elif len(value) < least:
            raise ServiceError("out_of_range", f"{where} is empty: send a sentence.")
        else:
            return value
        raise ServiceError(
            "out_of_range", f"{where} is {shown(value)}; allowed: {allowed}."
        )

    return check


def _number(rules: Mapping[str, Any], *, whole: bool) -> Check:
    kind = int if whole else int | float
    allowed = "a whole number" if whole else "a number"
    low, high = rules.get("minimum"), rules.get("maximum")

    def check(value: Any, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, kind):
            raise _wrong(where, value, allowed)
        if (low is not None and value < low) or (high is not None and value > high):
            raise ServiceError(
                "out_of_range",
                f"{where} is {shown(value)}; allowed: {low} to {high or 'unbounded'}.",
            )
        if not whole and not abs(value) <= _MOST_FLOAT32:
            raise ServiceError("not_finite", f"{where} is not a finite float32.")
        return value

    return check


def parse_vector(
    given: list[Any] | str | bytes,
    dimension: int,
    where: str = "vector",
    element: str = "f32",
) -> NDArray[numpy.float32]:
    """`given` (numbers, base64 or bytes) as float32 of shape (dimension,).

    Its components are values of `element`: the one rounding of a vector, so that
    what is stored, copied and scored is the same everywhere.
    """
    if isinstance(given, list):
        vector = _from_numbers(given, where)
    else:
        data = _decoded(given, where) if isinstance(given, str) else given
        vector = _from_bytes(data, dimension, where)
    if vector.shape != (dimension,):
        raise ServiceError(
            "wrong_dimension",
            f"{where} has {vector.size} components, the collection has {dimension}: "
            f"send {dimension} numbers.",
            details={"given": int(vector.size), "allowed": dimension},
        )
    if element == "f16":
        with numpy.errstate(over="ignore"):
            vector = vector.astype(numpy.float16).astype(numpy.float32)
    if not numpy.isfinite(vector).all():
        most = "65504" if element == "f16" else "3.4e38"
        raise ServiceError(
            "not_finite",
            f"{where} holds NaN, infinity or a number beyond {element}: "
            f"send finite numbers up to {most}.",
        )
    return vector


def _decoded(given: str, where: str) -> bytes:
    try:
        return pybase64.b64decode(given, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ServiceError(
            "wrong_type",
            f"{where} is not base64 of little-endian float32 or float16: {error}.",
        ) from None


def _from_bytes(data: bytes, dimension: int, where: str) -> NDArray[numpy.float32]:
    """Float16 where the length says so, else float32."""
    if len(data) == 2 * dimension:
        return numpy.frombuffer(data, "<f2").astype(numpy.float32)
    if len(data) % 4:
        raise ServiceError(
            "wrong_dimension",
            f"{where} has {len(data)} bytes, {dimension} components take "
            f"{4 * dimension} as float32 or {2 * dimension} as float16.",
            details={"given": len(data), "allowed": 4 * dimension},
        )
    return numpy.frombuffer(data, "<f4")


def _from_numbers(given: list[Any], where: str) -> NDArray[numpy.float32]:
    try:
        with numpy.errstate(over="ignore"):
            vector = numpy.array(given)
            if vector.ndim == 1 and vector.dtype.kind in "fiu":
                return vector.astype(numpy.float32)
    except (ValueError, OverflowError):
        pass
    if not given:
        return numpy.empty(0, numpy.float32)
    raise ServiceError("wrong_type", f"{where} holds more than numbers: send numbers.")


def parse_metadata(given: dict[str, Any] | None, limit: int, where: str) -> str:
    """Metadata as canonical JSON text of at most `limit` bytes."""
    if not given:
        return "{}"
    text = orjson.dumps(given)
    if len(text) > limit:
        raise ServiceError(
            "metadata_too_large",
            f"{where} is {len(text)} bytes of JSON; at most {limit}: send less.",
            details={"given": len(text), "allowed": limit},
        )
    return text.decode()
