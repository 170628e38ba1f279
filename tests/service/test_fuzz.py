"""Twenty thousand random inputs over all transports; a million by `fuzz` itself.

Beside them: what the OpenAPI document allows and does not, and inputs that coverage
guides into every reader.
"""

import asyncio

import pytest

from service.contract.openapi import openapi
from tests.service import fuzz_guided, fuzz_openapi
from tests.service.fuzz import Fuzzer, resident

COUNT = 20_000
SEED = 20261129
"""The same inputs in every run; the command draws others by `--seed`."""
EXAMPLES = 20
"""Random ones of each operation; the edges of its schema come to some 40 more."""
GUIDED = 2_000
"""Of each reader."""
MOST_GROWTH_KIB = 64 * 1024
"""What items and caches may add; a leak of a kilobyte an input would be 20 MiB."""


async def test_no_input_makes_the_service_fail(world):
    asia = world.regions["asia"]
    pids = (asia.instance["pid"], asia.grpc["pid"])
    fuzzer = Fuzzer(asia.url, f"127.0.0.1:{asia.grpc['port']}", SEED)
    await fuzzer.run(COUNT // 4)
    before = [resident(pid) for pid in pids]
    await fuzzer.run(COUNT)
    grown = [resident(pid) - was for pid, was in zip(pids, before, strict=True)]
    assert not fuzzer.wrong, fuzzer.wrong[:3]
    assert sum(fuzzer.seen.values()) >= COUNT
    surfaces = {outcome.split(" ")[0] for outcome in fuzzer.seen}
    assert surfaces >= {"http", "raw", "websocket", "events", "push", "grpc"}
    assert any(o.endswith((" 200", " OK")) for o in fuzzer.seen), fuzzer.seen
    assert max(grown) < MOST_GROWTH_KIB, grown


async def test_every_operation_answers_as_its_document_says(world):
    url = world.regions["asia"].url
    report = await asyncio.to_thread(
        fuzz_openapi.run, url, SEED, EXAMPLES, every_edge=False
    )
    assert not report.failures, report.failures[:3]
    paths = openapi()["paths"]
    wanted = {f"{m.upper()} {path}" for path, item in paths.items() for m in item}
    assert set(report.cases) == wanted
    assert min(report.modes.values()) > 100 and len(report.modes) == 2
    assert report.statuses[200] > 100 and report.statuses[400] > 100


@pytest.mark.skipif(bool(fuzz_guided.missing()), reason=fuzz_guided.missing())
def test_no_bytes_make_a_reader_raise_what_it_does_not_declare():
    for one in fuzz_guided.fuzz(fuzz_guided.targets(), GUIDED, SEED):
        assert not one.wrong, (one.target, one.wrong)
        assert one.runs >= GUIDED and one.covered
        assert one.taken > 0
