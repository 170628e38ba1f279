"""Twenty thousand random inputs over all transports; a million by `fuzz` itself."""

from tests.service.fuzz import Fuzzer, resident

COUNT = 20_000
SEED = 20261129
"""The same inputs in every run; the command draws others by `--seed`."""
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
