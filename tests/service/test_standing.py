"""Standing queries keep their vector once: as a row while they are live."""

from typing import Any

import numpy
import pytest

from service.kernel import load
from service.log.definition import Definition, Fields
from service.stream.standing import Standing, Stream

KEY = ("default", "c")


@pytest.mark.parametrize("element", ["f32", "f16"])
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_a_stream_gets_back_exactly_the_vector_that_its_row_held(
    element: str, metric: str
) -> None:
    fields = Fields(dimension=384, metric=metric, element_type=element)  # type: ignore[arg-type]
    definition = Definition(*KEY, 3, 0, fields)
    standing = Standing(definition, load().index(384, element))
    kind = numpy.float16 if element == "f16" else numpy.float32
    rng = numpy.random.default_rng(4)
    given = rng.standard_normal((500, 384)).astype(kind).astype(numpy.float32)
    nobody: Any = None
    streams = [
        Stream(str(n), KEY, 3, vector, 0.5, 1, nobody) for n, vector in enumerate(given)
    ]
    for stream in streams:
        stream.positions = {"a": (1, 5)}  # type: ignore[dict-item]
        standing.add(stream)
    assert all(s.own_vector is None and not s.positions for s in streams)
    pairs = zip(streams, given, strict=True)
    assert all(numpy.array_equal(s.vector, v) for s, v in pairs)
    for stream in streams[::2]:
        standing.remove(stream)
    assert len(standing) == 250
    for stream, vector in zip(streams, given, strict=True):
        assert (stream.slot is None) == (stream.own_vector is not None)
        assert numpy.array_equal(stream.vector, vector)
    standing.add(streams[0])
    assert numpy.array_equal(streams[0].vector, given[0])
