"""What the gate between two waves judges, and from when on."""

import pytest

from ops import gate, world

Answer = dict[str, object]


def answers(failed: float, total: float) -> dict[str, Answer]:
    """Of Prometheus: failed requests and all, by the query that asks for them."""

    def grown(value: float) -> Answer:
        row = {"metric": {"region": "a"}, "values": [[0, str(value)]]}
        return {"data": {"result": [row]}}

    return {"failed": grown(failed), "total": grown(total)}


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> dict[str, Answer]:
    """A region that answers, of whose requests half failed."""
    told = answers(50, 100)
    region = {
        "name": "a", "serving": True, "ready": True, "served_by": "a",
        "instances": 1, "degraded": [],
    }  # fmt: skip

    def call(path: str) -> Answer:
        if path == "/console/world":
            return {"regions": [region]}
        return told["failed" if "outcome" in path else "total"]

    monkeypatch.setattr(world, "call", call)
    return told


def test_errors_are_judged_after_three_looks_whoever_takes_them() -> None:
    assert (gate.judged_after(None), gate.judged_after(30)) == (6, 90)


def test_a_bake_too_short_for_errors_says_so(sound: dict[str, Answer]) -> None:
    said = gate.watch(["a"], 0.1, 0.01, gate.judged_after(30))
    assert said == "sound for 0.1 s; errors need 90 s to be judged"


def test_errors_close_the_gate_once_they_can_be_judged(
    sound: dict[str, Answer],
) -> None:
    with pytest.raises(gate.GateError, match=r"50 of 100 requests with a server error"):
        gate.watch(["a"], 0.1, 0.01, 0)
    sound |= answers(0, 100)
    assert gate.watch(["a"], 0.1, 0.01, 0).startswith("sound for 0.1 s, at most 1.00%")
