"""What the contract accepts and refuses, apart from any server."""

import base64
import math

import grpc
import jsonschema
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate

from service.contract import (
    STATUS,
    ServiceError,
    error_body,
    parse,
    parse_metadata,
    parse_vector,
)
from service.contract.errors import GRPC
from service.contract.messages import Ack, Attach, Watch
from service.contract.openapi import openapi
from service.contract.proto import message_class
from service.contract.proto_json import (
    message_of,
    read_events,
    to_plain,
    write_event,
    write_several,
)
from service.contract.publish import FOLDER, published
from service.contract.requests import CreateCollection, Search, UpsertItem
from service.contract.schema import json_schema

STREAM = "asia." + "0" * 32
REFUSED = [
    (Attach, {"type": "attach", "stream": "s", "id": "asia.0"}, "out_of_range"),
    (Attach, {"type": "attach", "stream": "s"}, "missing_key"),
    (Ack, {"type": "ack", "stream": "s"}, "missing_key"),
    (Ack, {"type": "ack", "stream": "s", "token": "t", "epoch": -1}, "out_of_range"),
    (
        Watch,
        {
            "type": "watch",
            "stream": "s",
            "collection": "c",
            "vector": [1],
            "threshold": 0.5,
            "persistent": True,
            "lease_seconds": 59,
        },
        "out_of_range",
    ),
    (CreateCollection, [], "wrong_type"),
    (CreateCollection, {"name": "a"}, "missing_key"),
    (CreateCollection, {"name": "a", "dimension": 3, "size": 1}, "unknown_key"),
    (CreateCollection, {"name": "A b", "dimension": 3}, "out_of_range"),
    (CreateCollection, {"name": "a", "dimension": 0}, "out_of_range"),
    (CreateCollection, {"name": "a", "dimension": 4097}, "out_of_range"),
    (CreateCollection, {"name": "a", "dimension": 2.5}, "wrong_type"),
    (CreateCollection, {"name": "a", "dimension": True}, "wrong_type"),
    (CreateCollection, {"name": "a", "dimension": 3, "metric": "l7"}, "out_of_range"),
    (UpsertItem, {"id": "", "vector": [1]}, "out_of_range"),
    (UpsertItem, {"id": "a\x00b", "vector": [1]}, "out_of_range"),
    (UpsertItem, {"id": "a" * 513, "vector": [1]}, "out_of_range"),
    (UpsertItem, {"id": "a"}, "bad_request"),
    (UpsertItem, {"id": "a", "vector": [1], "text": "b"}, "bad_request"),
    (UpsertItem, {"id": "a", "vector": [1], "metadata": [1]}, "wrong_type"),
    (UpsertItem, {"id": "a", "text": ""}, "out_of_range"),
    (UpsertItem, {"id": "a", "text": "x" * 8193}, "out_of_range"),
    (Search, {"collection": "c", "vector": [1], "k": 0}, "out_of_range"),
    (Search, {"collection": "c", "vector": [1], "k": 1001}, "out_of_range"),
    (Search, {"collection": "c", "vector": [1], "minimum_score": 1e300}, "not_finite"),
    (Search, {"collection": "c", "vector": {"a": 1}}, "wrong_type"),
    (
        Watch,
        {"type": "watch", "stream": "s", "collection": "c", "vector": [1]},
        "bad_request",
    ),
]


@pytest.mark.parametrize(("shape", "body", "code"), REFUSED)
def test_a_bad_body_is_refused_with_its_code(shape, body, code):
    with pytest.raises(ServiceError) as refused:
        parse(shape, body)
    assert refused.value.code == code
    assert 400 <= refused.value.status < 500
    assert len(refused.value.message) > 20


STATUSES = {400, 401, 403, 404, 405, 409, 413, 429, 500, 503, 504, 507}
VECTORS = [
    ([1, 2], "wrong_dimension"),
    ([], "wrong_dimension"),
    ([1, 2, math.nan], "not_finite"),
    ([1, 2, math.inf], "not_finite"),
    ([1, 2, 1e39], "not_finite"),
    (["1", "2", "3"], "wrong_type"),
    ([1, None, 3], "wrong_type"),
    ([[1, 2, 3]], "wrong_type"),
    ([1, [2], 3], "wrong_type"),
    ([True, False, True], "wrong_type"),
    ("!!!!", "wrong_type"),
    ("AAAA", "wrong_dimension"),
    (base64.b64encode(b"\0" * 8).decode(), "wrong_dimension"),
    (base64.b64encode(b"\0\0\xc0\x7f" * 3).decode(), "not_finite"),
]


@pytest.mark.parametrize(("vector", "code"), VECTORS)
def test_a_bad_vector_is_refused_with_its_code(vector, code):
    with pytest.raises(ServiceError) as refused:
        parse_vector(vector, 3)
    assert refused.value.code == code


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=50))
def test_a_vector_is_the_same_as_numbers_and_as_base64(numbers):
    expected = numpy.array(numbers, "<f4")
    text = base64.b64encode(expected.tobytes()).decode()
    assert parse_vector(numbers, len(numbers)).tobytes() == expected.tobytes()
    assert parse_vector(text, len(numbers)).tobytes() == expected.tobytes()


def test_a_vector_whose_sum_overflows_is_taken():
    assert len(parse_vector([3e38, 3e38], 2)) == 2


def test_metadata_beyond_the_limit_is_refused_with_both_sizes():
    with pytest.raises(ServiceError) as refused:
        parse_metadata({"a": "x" * 100}, 50, "metadata")
    assert refused.value.code == "metadata_too_large"
    assert refused.value.details == {"given": 108, "allowed": 50}


def test_an_error_has_the_documented_shape():
    body = error_body(ServiceError("bad_json", "No JSON."), "request-1")
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(body, {**schema, "$ref": "#/$defs/Error"})
    assert set(STATUS.values()) <= STATUSES


@pytest.mark.parametrize(("shape", "body", "code"), REFUSED)
def test_the_schema_refuses_what_the_service_refuses(shape, body, code):
    if code == "not_finite":
        pytest.skip("JSON schema has no float32")
    schema = {**json_schema(), "$ref": f"#/$defs/{shape.__name__}"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, schema)


ACCEPTED = [
    (Attach, {"type": "attach", "stream": "s", "id": STREAM, "token": "t"}),
    (Ack, {"type": "ack", "stream": "s", "token": "t", "epoch": 3}),
    (CreateCollection, {"name": "news", "dimension": 4096, "metric": "dot"}),
    (UpsertItem, {"id": "ü/1", "text": "hello", "metadata": {}, "event_id": "e"}),
    (Search, {"collection": "c", "vector": [1, 2.5], "k": 1000, "minimum_score": -1}),
    (
        Watch,
        {
            "type": "watch",
            "stream": "s",
            "collection": "c",
            "vector": "AAAA",
            "threshold": 0.5,
            "from": {"seconds": 5},
        },
    ),
]


@pytest.mark.parametrize(("shape", "body"), ACCEPTED)
def test_schema_and_service_accept_the_same(shape, body):
    jsonschema.validate(body, {**json_schema(), "$ref": f"#/$defs/{shape.__name__}"})
    parse(shape, body)


def test_what_is_published_is_what_the_shapes_make():
    for name, text in published().items():
        known = (FOLDER / name).read_text()
        assert known == text, f"{name}: python -m service.contract.publish"


def test_the_openapi_document_is_valid():
    validate(openapi())


def test_every_status_has_a_grpc_code():
    assert set(STATUS.values()) == set(GRPC)
    assert all(grpc.StatusCode[name] for name in GRPC.values())


def test_protobuf_carries_every_request_and_back():
    """What the JSON schema allows goes through protobuf unchanged."""
    samples = [
        (UpsertItem, {"id": "a", "vector": b"\0" * 8, "metadata": {"n": 2**53}}),
        (Search, {"collection": "c", "vectors": [[1.0], [2.0]], "k": 3}),
        (Search, {"collection": "c", "text": "x", "minimum_score": 0.0}),
        (Watch, {"stream": "s", "collection": "c", "from": {"seconds": 5.0}}),
        (Watch, {"stream": "s", "collection": "c", "persistent": True}),
        (Attach, {"stream": "s", "id": STREAM, "definition": {"vector": "AAAA"}}),
        (Ack, {"stream": "s", "token": "t", "epoch": 0}),
    ]
    for shape, plain in samples:
        kind = message_class(shape.__name__)
        data = message_of(shape, plain).SerializeToString()
        again = to_plain(shape, kind.FromString(data))
        assert {k: again[k] for k in plain} == plain


def test_messages_of_the_service_hold_others():
    """Byte by byte what protobuf itself makes of it, and read in order."""
    gap = {"stream": "s", "origin": "a", "after": [0, 1], "before": [1, 9]}
    gone = {"type": "goaway", "reason": "drain", "seconds": 8.0}
    events = [
        # One token each: the bytes of a map of two come in either order.
        {"type": "heartbeat", "tokens": {"s": "t"}, "at": 1.5},
        {"type": "heartbeat", "tokens": {"u": ""}, "at": 1.5},
        {"type": "gap", **gap},
        gone,
        {"type": "dropped", "stream": "", "reason": "x"},
    ]
    parts = [write_event(event) for event in events]
    envelope = message_class("ServerMessage").FromString(write_several(parts))
    assert [m.SerializeToString() for m in envelope.several.messages] == parts
    assert envelope.SerializeToString() == write_several(parts)
    assert read_events(envelope) == events
    alone = message_class("ServerMessage").FromString(write_event(gone))
    assert read_events(alone) == [gone]
