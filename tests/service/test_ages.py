"""Ages of comparisons and snapshots: they grow until something succeeds, and alert."""

import contextlib
import re
from types import SimpleNamespace

import pytest

from dashboards import upkeep
from service.google import GoogleError
from service.log.state import hybrid
from service.pushed import Pushed
from service.settings import Settings
from service.snapshot.bucket import Damaged
from service.telemetry import Metrics
from service.worker import reconcile, snapshots
from service.worker.duties import RETENTION_SECONDS
from service.worker.reconcile import Reconciler
from service.worker.snapshots import Snapshots
from tests.service.test_pushed import read, scraped
from tests.service.test_snapshot import Rows, definition, manifest
from tests.service.test_template import NOWHERE

pytestmark = pytest.mark.asyncio

SETTINGS = Settings.from_environment(NOWHERE)
START = 1_700_000_000.0
COMPARED = "meridian_digest_age_seconds"
KEPT = "meridian_snapshot_age_seconds"
ALERT = re.compile(r"(min|max) by \(([a-z, ]+)\) \((\w+)\) > (\d+)")


@pytest.fixture
def clock(monkeypatch):
    """Seconds since 1970 and of the monotonic clock, which only a test moves."""
    made = SimpleNamespace(now=START)
    times = SimpleNamespace(time=lambda: made.now, monotonic=lambda: made.now)
    for module in (reconcile, snapshots):
        monkeypatch.setattr(module, "time", times)
    return made


class Equal:
    """A hub's state that is the same as every other hub's."""

    hub = "asia"

    def __init__(self, others, compared=None):
        self.others, self.rows = others, compared or {}
        self.away = False

    async def compared(self):
        return dict(self.rows)

    async def floor(self):
        return 0

    async def collection_sums(self, until):
        return {"dropped": [0, 0], "created": [0, 0]}

    async def sums(self, span, part=()):
        return {}

    async def begin_epochs(self, applied):
        return []

    async def skip_lost(self, hub, before):
        return []

    async def finish(self, hub, until):
        self.rows[hub] = until

    async def ask(self, hub, question, params, seconds):
        if self.away:
            raise ConnectionError("away")
        sums = await self.collection_sums(0)
        same = {"applied": [], "collections": sums, "floor": 0, "sums": []}
        return [same | {"oldest": []}]


class Hub:
    """A hub's worker, as far as it compares."""

    def __init__(self, *others, compared=None):
        self.state, self.metrics = Equal(others, compared), Metrics()
        interval = SETTINGS.digest_seconds
        links = (lambda hub: set(), self._skipped)
        self.reconciler = Reconciler(
            self.state, self.state.ask, self.metrics, interval, *links
        )
        self.pushed = Pushed(self.metrics.registry, SETTINGS, self.reconciler.export)

    async def _skipped(self, hub, lanes):
        pass

    def ages(self):
        """By peer; a push has what a scrape reads."""
        return ages(self.metrics, self.pushed, COMPARED)


class Bucket:
    """A bucket that is there or not, with the manifests that it was given."""

    def __init__(self):
        self.found, self.away, self.taking = {}, False, True

    async def manifest(self, key):
        if self.away:
            raise GoogleError(503, "away")
        if isinstance(self.found.get(key), Damaged):
            raise self.found[key]
        return self.found.get(key)

    async def names(self):
        for name in ():
            yield name

    async def put_part(self, name, data):
        raise GoogleError(503, "full")

    async def put_manifest(self, made):
        if not self.taking:
            raise GoogleError(503, "full")
        self.found[made.tenant, made.collection] = made


class View(Rows):
    """A region's database with large collections to which nothing was written."""

    def __init__(self, *definitions):
        self.all = definitions

    async def definitions(self):
        return list(self.all)

    async def holds(self, definition, rows):
        return True

    async def changed(self, definition, since, repaired):
        for row in ():
            yield row

    async def reaches_back(self, lane, since):
        return True


class Keeper:
    """A worker, as far as it keeps snapshots."""

    def __init__(self):
        self.metrics, self.bucket = Metrics(), Bucket()
        self.snapshots = Snapshots(None, self.bucket, self.metrics, SETTINGS)
        self.pushed = Pushed(self.metrics.registry, SETTINGS, lambda: None)

    async def look(self, *definitions):
        with contextlib.suppress(*snapshots._FAILED):
            await self.snapshots._round(View(*definitions))

    def age(self):
        found = ages(self.metrics, self.pushed, KEPT)
        assert found.keys() == {()}, "no labels: neither tenants nor collections"
        return found[()]


def ages(metrics, pushed, name):
    _, sent, _ = read(pushed.request(reconcile.time.time()))
    shown = scraped(metrics)
    assert sent == shown
    return {labels: value for (n, labels), value in shown.items() if n == name}


def peers(**found):
    return {(("peer", peer),): pytest.approx(age) for peer, age in found.items()}


def minutes(count):
    return count * 60.0


def firing(*workers):
    """Names of the alerts that begin with these metrics of a region's workers."""
    names = []
    for name, alert in upkeep.alerts("https://example.com").items():
        best, by, metric, greatest = ALERT.fullmatch(alert.query).groups()
        found = {}
        for metrics in workers:
            for (n, labels), value in scraped(metrics).items():
                if n == metric and {"region", *dict(labels)} == {*by.split(", ")}:
                    found.setdefault(labels, []).append(value)
        ages = [{"min": min, "max": max}[best](values) for values in found.values()]
        if any(age > float(greatest) for age in ages):
            names.append(name)
    return names


async def test_before_a_first_round_the_age_is_the_workers(clock):
    hub = Hub("europe", "us")
    assert hub.ages() == peers(europe=0, us=0)
    clock.now += 90
    assert hub.ages() == peers(europe=90, us=90)


async def test_rounds_that_fail_leave_the_age_growing_until_somebody_looks(clock):
    hub = Hub("europe", "us")
    await hub.reconciler._begin()
    await hub.reconciler._try("europe")
    hub.state.away = True
    for _ in range(4):
        clock.now += SETTINGS.digest_seconds
        await hub.reconciler._try("europe")
        if clock.now <= START + 2 * SETTINGS.digest_seconds:
            assert firing(hub.metrics) == []
    settled = 0.1 * SETTINGS.digest_seconds
    gone = 4 * SETTINGS.digest_seconds
    assert hub.ages() == peers(europe=gone + settled, us=gone)
    assert firing(hub.metrics) == ["states-not-compared"]
    hub.state.away = False
    for peer in ("europe", "us"):
        await hub.reconciler._try(peer)
    assert hub.ages() == peers(europe=settled, us=settled)
    assert firing(hub.metrics) == []


async def test_a_worker_that_starts_again_knows_the_age(clock):
    hub = Hub("europe", compared={"europe": hybrid(START - minutes(50))})
    await hub.reconciler._begin()
    assert hub.ages() == peers(europe=minutes(50))
    assert firing(hub.metrics) == ["states-not-compared"]


async def test_a_hub_that_only_asked_or_has_gone_is_not_taken_for_an_old_one(clock):
    """Of the one the table of peers has a zero, of the other what was once."""
    hub = Hub("europe", compared={"europe": 0, "us": hybrid(START - minutes(500))})
    await hub.reconciler._begin()
    clock.now += 5
    assert hub.ages() == peers(europe=5)


async def test_before_a_first_look_the_age_of_snapshots_is_the_workers(clock):
    keeper = Keeper()
    assert keeper.age() == 0
    clock.now += minutes(91)
    assert keeper.age() == minutes(91)
    assert firing(keeper.metrics) == ["snapshots-old"]
    # Nothing is to have one, as far as can be seen now.
    await keeper.look()
    assert keeper.age() == 0
    clock.now += 7
    assert keeper.age() == 7


async def test_a_snapshot_is_as_old_as_its_manifest_says_whoever_wrote_it(clock):
    keeper, one = Keeper(), definition()
    made = int((START - minutes(12)) * 1000)
    keeper.bucket.found[one.key] = manifest(made=made, written=made)
    await keeper.look(one)
    assert keeper.age() == minutes(12)
    clock.now += minutes(18)
    await keeper.look(one)
    assert keeper.age() == 0, "it was due, and the database is still as it says"


@pytest.mark.parametrize("how", ["not written", "not read", "lost", "damaged"])
async def test_what_is_not_brought_up_to_date_grows_until_somebody_looks(clock, how):
    keeper, one = Keeper(), definition()
    made = int(START * 1000)
    keeper.bucket.found[one.key] = manifest(made=made, written=made)
    await keeper.look(one)
    keeper.bucket.taking, keeper.bucket.away = False, how == "not read"
    if how == "lost":
        keeper.bucket.found.clear()
    if how == "damaged":
        keeper.bucket.found[one.key] = Damaged("cut")
    for _ in range(31):
        assert firing(keeper.metrics) == []
        clock.now += minutes(3)
        await keeper.look(one)
        assert keeper.age() == clock.now - START
    assert firing(keeper.metrics) == ["snapshots-old"]


async def test_a_collection_that_is_new_or_made_anew_counts_from_when_it_is_seen(clock):
    keeper, one = Keeper(), definition()
    await keeper.look()
    keeper.bucket.taking = False
    clock.now += minutes(3)
    await keeper.look(one)
    clock.now += minutes(30)
    await keeper.look(one)
    assert keeper.age() == minutes(30)
    # Its forerunner's snapshot says nothing of it.
    keeper.bucket.found[one.key] = manifest(made=int((START - minutes(500)) * 1000))
    anew = type(one)("t", "c", one.lane, one.at + 1, one.fields)
    await keeper.look(anew)
    assert keeper.age() == 0


async def test_the_oldest_counts_and_a_dropped_one_does_not(clock):
    keeper, one = Keeper(), definition()
    other = type(one)("t", "d", one.lane, one.at, one.fields)
    made = int((START - minutes(20)) * 1000)
    keeper.bucket.found[one.key] = manifest(made=made)
    keeper.bucket.found[other.key] = manifest(collection="d", made=made - 60_000)
    await keeper.look(one, other)
    assert keeper.age() == minutes(21)
    await keeper.look(one)
    assert keeper.age() == minutes(20)


async def test_one_of_a_regions_workers_that_compares_is_enough(clock):
    one, other = Hub("europe", "us"), Hub("europe", "us")
    clock.now += minutes(31)
    await one.reconciler._try("europe")
    both = (one.metrics, other.metrics)
    one.ages(), other.ages()
    assert firing(*both) == ["states-not-compared"], "nobody was compared with us"
    await other.reconciler._try("us")
    one.ages(), other.ages()
    assert firing(*both) == []
    assert firing(other.metrics) == ["states-not-compared"]


async def test_a_worker_that_has_just_started_does_not_hide_what_another_knows(clock):
    one = Keeper()
    clock.now += minutes(91)
    assert firing(one.metrics, Keeper().metrics) == ["snapshots-old"]


async def test_who_keeps_no_snapshots_has_no_age_of_them():
    """A zero would say that they are fresh."""
    metrics = Metrics()
    pushed = Pushed(metrics.registry, SETTINGS, lambda: None)
    assert KEPT not in metrics.text().decode()
    assert ages(metrics, pushed, KEPT) == {} == ages(metrics, pushed, COMPARED)


async def test_alerts_count_in_the_intervals_that_workers_have():
    assert SETTINGS.digest_seconds == upkeep.DIGEST_SECONDS
    assert SETTINGS.snapshot_seconds == upkeep.SNAPSHOT_SECONDS
    # Somebody hears of it while instances could still start from the snapshot.
    assert upkeep.KEPT < RETENTION_SECONDS


async def test_alerts_ask_for_metrics_that_a_worker_has(clock):
    hub, keeper = Hub("europe"), Keeper()
    hub.reconciler.export()
    shown = {*scraped(hub.metrics), *scraped(keeper.metrics)}
    labels = {name: {"region", *dict(found)} for name, found in shown}
    for alert in upkeep.alerts("https://example.com").values():
        _, by, metric, _ = ALERT.fullmatch(alert.query).groups()
        assert labels[metric] == {*by.split(", ")}
