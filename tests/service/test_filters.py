"""A filter says the same of one item as the mask does of all."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.contract import ServiceError, parse_filter
from service.contract.filters import conditions, plain
from service.stream.columns import Columns

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-3, 3),
    st.sampled_from(["a", "b", ""]),
    st.just([1]),
    st.just({"x": 1}),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(-3, 3), st.just("a")
)
fields = st.sampled_from(["a", "b", "c.x"])
metadata = st.dictionaries(st.sampled_from(["a", "b", "c", "c.x"]), values, max_size=3)
simple = st.one_of(
    st.builds(lambda f, v: {"field": f, "eq": v}, fields, scalars),
    st.builds(
        lambda f, v: {"field": f, "in": v},
        fields,
        st.lists(scalars, min_size=1, max_size=3),
    ),
    st.builds(
        lambda f, b, v: {"field": f, "range": {b: v}},
        fields,
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        st.integers(-3, 3),
    ),
    st.builds(lambda f, v: {"field": f, "exists": v}, fields, st.booleans()),
)
filters = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(lambda x: {"not": x}, inner),
        st.builds(lambda x: {"and": x}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda x: {"or": x}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(filters, st.lists(metadata, min_size=1, max_size=20), st.integers(0, 20))
def test_a_mask_says_what_each_item_says(given_filter, items, known):
    parsed = parse_filter(given_filter)
    texts = dict(enumerate(orjson.dumps(m).decode() for m in items))
    columns = Columns()
    first = {n: t for n, t in texts.items() if n < known}
    columns.make({c.field for c in conditions(parsed)}, first, 2)
    for slot, text in texts.items():
        if slot >= known:
            columns.put(slot, text)
    mask = columns.mask(parsed, len(items))
    assert mask.tolist() == [parsed.holds(orjson.loads(t)) for t in texts.values()]


@settings(deadline=None)
@given(filters, metadata)
def test_a_filter_that_is_written_down_means_the_same(given_filter, item):
    parsed = parse_filter(given_filter)
    again = parse_filter(orjson.loads(orjson.dumps(plain(parsed))))
    assert again.holds(item) == parsed.holds(item)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {"field": "a"},
        {"field": "", "eq": 1},
        {"field": "a", "eq": [1]},
        {"field": "a", "in": []},
        {"field": "a", "range": {}},
        {"field": "a", "range": {"between": 1}},
        {"field": "a", "range": {"gt": True}},
        {"field": "a", "exists": 1},
        {"and": []},
        {"and": {}},
        {"not": [], "or": []},
        {"field": "a", "eq": 1, "exists": True},
        {"or": [{"field": "a", "eq": 1}] * 65},
    ],
)
def test_what_is_no_filter_is_refused(wrong):
    with pytest.raises(ServiceError) as refused:
        parse_filter(wrong)
    assert refused.value.code == "bad_filter"


def test_a_filter_is_not_nested_without_end():
    deep = {"field": "a", "eq": 1}
    for _ in range(50):
        deep = {"not": deep}
    with pytest.raises(ServiceError):
        parse_filter(deep)
