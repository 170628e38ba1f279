"""Manifests and parts as bytes; items from a part; what the log must still hold."""

import asyncio
import contextlib
import dataclasses

import numpy
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.contract.fields import METRICS
from service.google import GoogleError
from service.kernel import metric
from service.kernel.reference import Reference
from service.log.change import Position
from service.log.definition import Definition, Fields
from service.settings import Settings
from service.snapshot.manifest import (
    FORMAT,
    Manifest,
    Piece,
    folder,
    is_needed,
    manifest_name,
    part_name,
)
from service.snapshot.part import Part, decoded
from service.stream.items import Items
from service.telemetry import Metrics
from service.worker.snapshots import Snapshots
from tests.service.test_template import NOWHERE

VERSIONS = st.tuples(st.integers(1, 2**62), st.sampled_from(["asia", "europe"]))
TEXT = st.text(max_size=8)
METADATA = st.sampled_from(["{}", '{"a":"ü"}', '{"b":[1,2]}'])


def definition(dimension=3, **fields):
    return Definition("t", "c", 4, 7, Fields(dimension=dimension, **fields))


def manifest(**changes):
    made = Manifest(
        tenant="t",
        collection="c",
        created=7,
        dimension=3,
        element="f32",
        made=1000,
        written=900,
        positions={"asia": Position(2, 17), "europe": Position(1, 0)},
        repaired=3,
        rows=2,
        parts=(Piece("index/1/x/900-0.part", "00ff"),),
    )
    return dataclasses.replace(made, **changes)


def test_a_manifest_is_read_as_it_was_written():
    assert Manifest.of(manifest().text()) == manifest()


def test_a_later_revision_may_add_fields():
    text = manifest().text().replace(b'{"tenant"', b'{"later": 1, "tenant"')
    assert Manifest.of(text) == manifest()


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"null", manifest().text()[:-9], b'{"parts": [1]}']
)
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(ValueError):
        Manifest.of(text)


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "u"},
        {"collection": "d"},
        {"created": 8},
        {"dimension": 4},
        {"element": "f16"},
    ],
)
def test_a_snapshot_is_of_one_collection(other):
    assert manifest().fits(definition())
    assert not manifest(**other).fits(definition())


def test_names_keep_tenants_collections_and_formats_apart():
    names = {manifest_name(k) for k in (("a", "bc"), ("ab", "c"), ("abc", ""))}
    assert len(names) == 3
    assert all(n.startswith(f"index/{FORMAT}/") for n in names)
    assert "secret" not in folder(("secret", "secret"))


class Rows:
    """A database with one row, of one moment."""

    @contextlib.asynccontextmanager
    async def fixed(self):
        yield

    async def positions(self, lane):
        return {"asia": Position(1, lane)}

    async def last_repaired(self):
        return 0

    async def items(self, definition):
        row = {"id": "a", "metadata": "{}", "at": 9, "origin": "asia"}
        yield row | {"deleted": False, "vector": bytes(definition.width)}


class Store:
    """A bucket that takes the first writes."""

    def __init__(self, takes):
        self.takes, self.manifests = takes, []

    def _take(self):
        self.takes -= 1
        if self.takes < 0:
            raise GoogleError(503, "away")

    async def put_part(self, name, data):
        self._take()
        return Piece(name, "00")

    async def put_manifest(self, manifest):
        self._take()
        self.manifests.append(manifest)


def writer(store, **environment):
    metrics, settings = Metrics(), Settings.from_environment(NOWHERE | environment)
    made = Snapshots(None, store, metrics, settings)
    return made, metrics.registry


@pytest.mark.asyncio
@pytest.mark.parametrize("takes", [0, 1])
async def test_what_a_bucket_does_not_take_is_no_snapshot(takes):
    store = Store(takes)
    made, registry = writer(store)
    await made._update(Rows(), definition())
    assert store.manifests == [] and made._is_due(definition())
    counted = {"outcome": "failed"}
    assert registry.get_sample_value("meridian_snapshots_total", counted) == 1
    store.takes = 2
    await made._update(Rows(), definition())
    (manifest,) = store.manifests
    assert (manifest.rows, len(manifest.parts)) == (1, 1)
    assert manifest.positions == {"asia": Position(1, 4)}
    assert not made._is_due(definition())


class Broken:
    """A database that nobody understands."""

    def __init__(self):
        self.asked = 0

    @property
    def pool(self):
        self.asked += 1
        raise KeyError("of a later revision")


@pytest.mark.asyncio
async def test_what_goes_wrong_with_snapshots_does_not_end_the_worker():
    made, _ = writer(Store(0), MERIDIAN_SNAPSHOT_SECONDS="0.1")
    made._reader = reader = Broken()
    running = asyncio.create_task(made.run())
    for _ in range(200):
        await asyncio.sleep(0.02)
        if reader.asked > 2:
            break
    assert reader.asked > 2 and not running.done()
    running.cancel()


def test_what_is_older_than_its_manifest_is_not_needed():
    key = ("t", "c")
    known = {folder(key): manifest(written=900), folder(("t", "new")): None}
    needed = {
        manifest_name(key): True,
        part_name(key, 900, 3): True,
        # Another worker's, whose manifest is not known here yet.
        part_name(key, 901, 0): True,
        part_name(key, 899, 0): False,
        part_name(("t", "new"), 1, 0): True,
        part_name(("t", "gone"), 901, 0): False,
        manifest_name(("t", "gone")): False,
    }
    assert {name: is_needed(name, known) for name in needed} == needed


@given(
    rows=st.dictionaries(TEXT, st.tuples(VERSIONS, METADATA), max_size=9),
    deleted=st.dictionaries(TEXT, VERSIONS, max_size=3),
    width=st.integers(1, 9),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_a_part_is_read_as_it_was_written(rows, deleted, width, data):
    vectors = [data.draw(st.binary(min_size=width, max_size=width)) for _ in rows]
    versions, metadata = [v for v, _ in rows.values()], [m for _, m in rows.values()]
    joined = b"".join(vectors)
    part = Part(list(rows), versions, metadata, joined, list(deleted.items()))
    text = part.encoded()
    read = decoded(text, width)
    assert (read.ids, read.versions, read.metadata) == (list(rows), versions, metadata)
    assert bytes(read.vectors) == joined
    assert read.deleted == list(deleted.items())
    assert read.encoded() == text
    for cut in range(len(text)):
        with pytest.raises(ValueError):
            decoded(text[:cut], width)
    if rows:
        with pytest.raises(ValueError):
            decoded(text, width + 1)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("element", ["f32", "f16"])
def test_items_of_a_part_are_those_that_were_put_one_by_one(name, element):
    rng = numpy.random.default_rng(5)
    made = definition(16, metric=name, element_type=element)
    rows = rng.standard_normal((40, 16)).astype(numpy.float32)
    rows[3] = 0
    stored = [made.stored(row) for row in rows]
    versions = [(100 + n, "asia") for n in range(40)]
    alone = Items(made, Reference().index(16, element))
    for n, vector in enumerate(stored):
        alone.put(str(n), vector, f'{{"n":{n}}}', versions[n])
    alone.delete("5", (999, "asia"))
    kept = [n for n in range(40) if n != 5]
    part = Part(
        [str(n) for n in kept],
        [versions[n] for n in kept],
        [f'{{"n":{n}}}' for n in kept],
        b"".join(stored[n] for n in kept),
        [("5", (999, "asia"))],
    )
    filled = Items(made, Reference().index(16, element))
    filled.fill(decoded(part.encoded(), made.width))
    asked = metric.asked(name, rows[0])
    found = [
        {
            hit["id"]: (hit["score"], hit["version"], orjson.dumps(hit["metadata"]))
            for hit in i.hits(*i.index.search(asked.query, 50, -1e9, asked.offset))
        }
        for i in (alone, filled)
    ]
    assert found[0].keys() == found[1].keys() and len(found[0]) == 39
    for item, (score, *rest) in found[0].items():
        assert found[1][item][0] == pytest.approx(score, abs=1e-6)
        assert found[1][item][1:] == tuple(rest)
    # A tombstone came along, and the last writer wins.
    filled.put("5", stored[5], "{}", (500, "asia"))
    filled.put("6", stored[0], "{}", (50, "asia"))
    assert filled.slot("5") is None and filled.held(filled.slot("6")).version[0] == 106
