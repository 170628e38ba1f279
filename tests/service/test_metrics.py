"""What the metrics count, whatever an answer travels over."""

import re

import pytest

from service.telemetry import Metrics


def answers(metrics: Metrics) -> dict[tuple[str, str], float]:
    """(transport, outcome) -> count where there is one, as a scrape reads it."""
    return {key: count for key, count in shown(metrics).items() if count}


def shown(metrics: Metrics) -> dict[tuple[str, str], float]:
    line = re.compile(
        r'^meridian_answers_total\{outcome="(\w+)",transport="(\w+)"\} (\S+)$', re.M
    )
    text = metrics.text().decode()
    return {(found[2], found[1]): float(found[3]) for found in line.finditer(text)}


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("ok", "answered"),
        ("unknown_collection", "refused"),
        ("rate_limited", "refused"),
        ("internal", "failed"),
        ("unavailable", "failed"),
        ("deadline_exceeded", "failed"),
    ],
)
def test_an_answer_outside_http_has_the_outcome_of_its_code(code, outcome):
    metrics = Metrics()
    for transport in ("grpc", "websocket"):
        metrics.called(transport, "search", code)
    assert answers(metrics) == {("grpc", outcome): 1.0, ("websocket", outcome): 1.0}
    assert f'code="{code}"' in metrics.text().decode()


def test_failures_are_shown_before_the_first():
    assert shown(Metrics()) == {
        (transport, "failed"): 0.0 for transport in ("http", "websocket", "grpc")
    }


def test_an_answer_over_http_is_counted_once_and_an_operation_timed():
    metrics = Metrics()
    metrics.answered("search", 200, 0.01)
    metrics.answered("search", 200, 0.02)
    metrics.answered("search", 503, 0.03)
    metrics.answered("public", 304)
    metrics.answered("other", 404)
    assert answers(metrics) == {
        ("http", "answered"): 3.0,
        ("http", "failed"): 1.0,
        ("http", "refused"): 1.0,
    }
    text = metrics.text().decode()
    assert 'meridian_http_request_seconds_count{route="search"} 3.0' in text
    assert 'meridian_http_request_seconds_count{route="public"}' not in text
