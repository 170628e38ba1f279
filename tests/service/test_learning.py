"""What a stream learns from marks, and that it stays within its bounds."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.learning import MOST_DISTANCE, State, calibrated
from tests.service.asking import floats, fresh, of_type, watching
from tests.service.drivers import STREAMING, Http

DIMENSION = 8
rows = st.integers(0, 2**32 - 1).map(
    lambda seed: numpy.random.default_rng(seed).normal(size=DIMENSION).astype("f4")
)
marks = st.lists(st.tuples(rows, st.booleans()), max_size=30)


def marked(first, given_marks):
    state = State(first)
    for vector, good in given_marks:
        state = state.mark(vector, good=good)
    return state


@settings(deadline=None)
@given(rows, marks, st.one_of(st.none(), rows))
def test_it_never_goes_beyond_the_declared_distance(first, given_marks, centre):
    state = marked(first, given_marks)
    learned = state.vector(centre)
    assert state.distance(learned) <= MOST_DISTANCE
    assert numpy.linalg.norm(learned) == pytest.approx(
        numpy.linalg.norm(first), rel=1e-4
    )


@settings(deadline=None)
@given(rows, marks, rows, st.booleans())
def test_a_mark_taken_back_leaves_no_trace(first, given_marks, vector, good):
    before = marked(first, given_marks)
    after = before.mark(vector, good=good).mark(vector, good=good, count=-1)
    assert (after.good, after.bad) == (before.good, before.bad)
    assert numpy.allclose(after.vector(None), before.vector(None), atol=1e-4)


@settings(deadline=None)
@given(rows, marks)
def test_a_state_reads_what_it_wrote(first, given_marks):
    state = marked(first, given_marks)
    read = State.read(state.text(), DIMENSION)
    assert numpy.array_equal(read.vector(None), state.vector(None))
    assert read.marks == len(given_marks)


@pytest.mark.parametrize("text", ["", "!", "AAAA", State(numpy.ones(4, "f4")).text()])
def test_a_foreign_state_is_refused(text):
    with pytest.raises(ValueError, match=r"base64|length"):
        State.read(text, DIMENSION)


def test_without_a_good_mark_the_query_stays():
    first = numpy.eye(DIMENSION, dtype="f4")[0]
    bad = numpy.eye(DIMENSION, dtype="f4")[1] + first
    assert numpy.array_equal(marked(first, [(bad, False)] * 20).vector(None), first)


def test_more_good_marks_move_it_farther_towards_them():
    eye = numpy.eye(DIMENSION, dtype="f4")
    distances = [
        State(eye[0]).distance(
            marked(eye[0], [(eye[0] + eye[1], True)] * n).vector(None)
        )
        for n in (0, 1, 3, 10)
    ]
    assert distances == sorted(distances) and distances[0] == 0 < distances[1]
    away = marked(
        eye[0], [(eye[0] + eye[1], True)] * 5 + [(eye[0] + eye[2], False)] * 5
    )
    assert away.vector(None)[1] > 0 > away.vector(None)[2]


@given(st.lists(st.integers(0, 1000), min_size=1, unique=True), st.data())
def test_a_calibrated_threshold_is_reached_as_often(numbers, data):
    before = numpy.float32(numbers) / 1000
    after = numpy.float32(data.draw(st.permutations(numbers))) / 500
    threshold = data.draw(st.sampled_from(before.tolist()))
    changed = calibrated(threshold, before, after)
    assert (after >= changed).sum() == (before >= numpy.float32(threshold)).sum()


def test_a_threshold_keeps_the_share_that_was_marked_good():
    scores = numpy.arange(100, dtype="f4") / 100
    counts = [
        int((scores >= calibrated(0.5, scores, scores, good, bad)).sum())
        for good, bad in ((0, 0), (30, 0), (14, 16), (0, 30))
    ]
    assert counts == [50, 50, 25, 3]


def test_a_threshold_that_nothing_reached_is_not_flooded():
    before, after = numpy.float32([0.1, 0.2]), numpy.float32([0.5, 0.9])
    assert calibrated(0.8, before, after) == pytest.approx(1.5, abs=1e-6)
    assert calibrated(0.8, before[:0], after[:0]) == 0.8


@pytest.mark.parametrize("transport", [s.name for s in STREAMING])
async def test_a_stream_learns_undoes_and_goes_on_elsewhere(world, transport):
    driver = {s.name: s for s in STREAMING}[transport]
    asia = world.regions["asia"]
    http, stream = Http(asia), driver(asia)
    name = fresh()
    await http.call("create_collection", name=name, dimension=3)
    generator = numpy.random.default_rng(3)
    items = [
        {"id": f"g{n}", "vector": floats(1, 1 + generator.normal() / 9, 0)}
        for n in range(12)
    ] + [
        {"id": f"b{n}", "vector": floats(1, 0, 1 + generator.normal() / 9)}
        for n in range(12)
    ]
    written = await http.call("upsert", collection=name, items=items)
    # Not from now on: the instance that is watched may hear of these later.
    since = {"from": {"token": written["token"]}}
    await stream.send(watching(name, threshold=0.6, **since))
    await of_type(stream, "watching")
    learned = None
    for n in range(12):
        for item, good in ((f"g{n}", True), (f"b{n}", False)):
            mark = {"type": "feedback", "stream": "s", "item": item, "good": good}
            await stream.send(mark)
            while True:
                message = await stream.receive()
                if message["type"] != "match":
                    break
            assert message["type"] == "learned", message
            learned = message
    assert learned["marks"] == 24
    assert 0 < learned["distance"] <= learned["most_distance"]
    # The stream now tells the two kinds apart that it could not before.
    for item, vector in (
        ("unwanted", (1, 0, 1)),
        ("wanted", (1, 1, 0)),
        ("unwanted too", (1, 0, 1)),
        ("wanted too", (1, 1, 0)),
    ):
        items = [{"id": item, "vector": floats(*vector)}]
        await http.call("upsert", collection=name, items=items)
    match = await of_type(stream, "match")
    assert match["item"]["id"] == "wanted"
    assert match["definition_version"] == learned["definition_version"]
    match = await of_type(stream, "match")
    assert match["item"]["id"] == "wanted too"
    other = driver(world.regions["europe"])
    token = {"from": {"token": match["token"]}}
    again = watching(name, threshold=0.6, learned=learned["learned"], **token)
    await other.send(again)
    assert (await of_type(other, "learned"))["marks"] == 24
    await other.send({"type": "undo", "stream": "s"})
    undone = await of_type(other, "learned")
    assert undone["marks"] == 0 and undone["distance"] == 0
    assert undone["threshold"] == 0.6
    await other.send(watching(name, stream="t", learned="AAAA"))
    assert (await of_type(other, "error"))["error"]["code"] == "learning_failed"
    for made in (http, stream, other):
        await made.close()
