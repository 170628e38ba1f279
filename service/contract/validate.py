"""Validation of decoded JSON against the shapes; early, complete, in words."""

import base64
import binascii
import re
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any, TypeVar

import numpy
import orjson
from numpy.typing import NDArray

from service.contract.errors import ServiceError
from service.contract.filters import parse_filter

T = TypeVar("T")
_MOST_FLOAT32 = 3.4028234663852886e38


@cache
def _plan(shape: type[Any]) -> tuple[dict[str, "Field[Any]"], tuple[str, ...]]:
    found = {f.name.rstrip("_"): f for f in fields(shape)}
    required = tuple(key for key, f in found.items() if f.default is MISSING)
    return found, required


def shown(value: object) -> str:
    """A value as an error message shows it: short, never the whole vector."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def parse(shape: type[T], given: object, where: str = "body") -> T:
    """`given` as a `shape`; raises ServiceError naming key, value and limit."""
    if not isinstance(given, dict):
        raise ServiceError(
            "wrong_type", f"{where} is {shown(given)}: send a JSON object."
        )
    known, required = _plan(shape)  # type: ignore[arg-type]  # mypy: type[T]
    for key in given:
        if key not in known:
            raise ServiceError(
                "unknown_key",
                f"{where}: unknown key {shown(key)}; allowed: "
                f"{', '.join(sorted(known))}.",
                details={"key": str(key)[:64], "allowed": sorted(known)},
            )
    for key in required:
        if given.get(key) is None:
            raise ServiceError(
                "missing_key",
                f"{where}: {key} is missing; required: {', '.join(required)}.",
                details={"key": key},
            )
    values = {}
    for key, value in given.items():
        field = known[key]
        if value is not None:
            values[field.name] = _checked(field, value, f"{where}.{key}")
    made = shape(**values)
    for names in getattr(shape, "CHOICES", ()):
        _one_of(names, values, where)
    return made


def _one_of(names: tuple[str, ...], values: dict[str, Any], where: str) -> None:
    given = [name for name in names if name in values]
    if len(given) != 1:
        raise ServiceError(
            "bad_request",
            f"{where}: {' and '.join(given) or 'none'} of {', '.join(names)} given: "
            "send exactly one.",
        )


def _checked(field: "Field[Any]", value: Any, where: str) -> Any:
    rules = field.metadata
    if rules.get("vector"):
        if not isinstance(value, list | str | bytes):
            raise _wrong(where, value, "a list of numbers or base64")
        return value
    if rules.get("origin"):
        return value
    if rules.get("filter"):
        return parse_filter(value, where)
    if "of" in rules:
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        return value
    kind = str(field.type)
    if "dict" in kind:
        if not isinstance(value, dict):
            raise _wrong(where, value, "a JSON object")
        return value
    if "str" in kind:
        return _string(rules, value, where)
    if "bool" in kind:
        if not isinstance(value, bool):
            raise _wrong(where, value, "true or false")
        return value
    return _number(rules, value, where, whole="int" in kind)


def _wrong(where: str, value: object, allowed: str) -> ServiceError:
    return ServiceError("wrong_type", f"{where} is {shown(value)}: send {allowed}.")


def _string(rules: Any, value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(where, value, "a string")
    if "enum" in rules and value not in rules["enum"]:
        raise ServiceError(
            "out_of_range",
            f"{where} is {shown(value)}; allowed: {', '.join(rules['enum'])}.",
        )
    if "pattern" in rules and not re.search(rules["pattern"], value):
        raise ServiceError(
            "out_of_range", f"{where} is {shown(value)}; allowed: {rules['pattern']}"
        )
    if len(value) > rules.get("maxLength", len(value)):
        raise ServiceError(
            "out_of_range",
            f"{where} has {len(value)} characters; at most {rules['maxLength']}.",
        )
    if len(value) < rules.get("minLength", 0):
        raise ServiceError("out_of_range", f"{where} is empty: send a sentence.")
    return value


def _number(rules: Any, value: Any, where: str, *, whole: bool) -> float:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise _wrong(where, value, "a whole number" if whole else "a number")
    low, high = rules.get("minimum"), rules.get("maximum")
    if (low is not None and value < low) or (high is not None and value > high):
        raise ServiceError(
            "out_of_range",
            f"{where} is {shown(value)}; allowed: {low} to {high or 'unbounded'}.",
        )
    if not whole and not abs(value) <= _MOST_FLOAT32:
        raise ServiceError("not_finite", f"{where} is not a finite float32.")
    return value


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
    # A sum is finite unless a component is not: one pass and no array of flags.
    # In float64 no sum of float32 overflows.
    if not numpy.isfinite(vector.sum(dtype=numpy.float64)):
        most = "65504" if element == "f16" else "3.4e38"
        raise ServiceError(
            "not_finite",
            f"{where} holds NaN, infinity or a number beyond {element}: "
            f"send finite numbers up to {most}.",
        )
    return vector


def _decoded(given: str, where: str) -> bytes:
    try:
        return base64.b64decode(given, validate=True)
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
