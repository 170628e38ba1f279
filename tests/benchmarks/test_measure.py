"""The arithmetic under the figures, and that every benchmark starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measure import paired, ratio, summary, verdict
from benchmarks.memory import kind_of
from benchmarks.recorded import literal, snake

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("faults", "instance", "memory", "notify", "preview", "search", "up")


def test_who_begins_a_pair_alternates():
    order = []
    paired(lambda: order.append("a") or 1.0, lambda: order.append("b") or 1.0, 3)
    assert "".join(order) == "abbaab"


def test_the_ratio_is_the_median_of_the_ratios_of_pairs():
    assert ratio([2.0, 9.0, 4.0], [1.0, 3.0, 4.0])["ratio"] == 2.0


def test_a_tail_is_given_only_where_there_are_enough_values():
    assert "p99" not in summary([1.0] * 99)
    assert summary([float(n) for n in range(1000)])["p99"] == 990.0


def test_a_missed_goal_is_said():
    assert "MISSED" in verdict(1.31, 1.3, "x")
    assert "MISSED" not in verdict(1.3, 1.3, "x")


def test_parts_are_told_apart():
    assert kind_of("run/us-east1/meridian-stream/1") == "service instances"
    assert kind_of("run/us-east1/meridian-worker/1") == "workers"
    assert kind_of("sql/meridian-us-east1-g1") == "postgres"


def test_inputs_become_arguments():
    assert snake("ipCidrRange") == "ip_cidr_range"
    assert literal({"__defaults": [], "port": 1.0}) == {"port": 1}


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_explains_itself(name):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0
