"""Requests to a hub's worker: what is written is read, and fits what is declared."""

from io import BytesIO

import orjson
import pytest
from fastavro import schemaless_writer
from fastavro.schema import parse_schema

from service.log.change import Position
from service.log.request import hole_request, question_request, read_request
from topology.messages import REPAIR

HOLE = hole_request(3, Position(1, 2), Position(2**31 - 1, 2**62))
ASK = question_request("ask", {"id": "x", "params": ['"', None, {"a": [1]}]})
RECALL = question_request("recall", {"origin": "a", "after": [[0, 1, 2]]})


@pytest.mark.parametrize("data", [HOLE, ASK, RECALL])
def test_what_is_asked_fits_the_schema_of_its_topic(data):
    # Refuses what is missing, what is more, and what is of another type.
    schemaless_writer(BytesIO(), parse_schema(REPAIR), orjson.loads(data), strict=True)


def test_what_is_written_is_read():
    read = read_request(HOLE)
    assert (read["lane"], read["first"], read["last"]) == (
        3,
        [1, 2],
        [2**31 - 1, 2**62],
    )
    assert read_request(ASK) == {"ask": {"id": "x", "params": ['"', None, {"a": [1]}]}}
    assert read_request(RECALL) == {"recall": {"origin": "a", "after": [[0, 1, 2]]}}


def test_questions_of_the_revision_before_are_read():
    data = b'{"lane":0,"first":[1,1],"last":[1,0],"ask":{"id":"x"}}'
    assert read_request(data)["ask"] == {"id": "x"}


def test_the_revision_before_reads_a_question_as_a_repair_of_nothing():
    given = orjson.loads(ASK)
    assert "ask" not in given and given["first"] > given["last"]
