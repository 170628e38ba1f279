"""Checks at build: Google's own message types, and what they do not say.

A process of its own: Pulumi and Google's libraries both register the message
`google.rpc.Status`, under two file names, and whoever comes second fails to import
(pulumi 3.272, googleapis-common-protos 1.7x). So a Pulumi program declares what was
checked before, and `python -m dashboards.validation prod local` does the checking; with
no argument it reads one `{"kind", "body"}` a line and answers one `{"error"}` a line.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from dashboards.world import alert_policies, dashboards
from topology import load, make_plan

CLOSING = {")": "(", "]": "[", "}": "{"}


def main(environments: list[str]) -> int:
    """Check environments by name, or what standard input gives; 1 after a fault."""
    if not environments:
        for line in sys.stdin:
            asked = json.loads(line)
            print(json.dumps({"error": _fault(asked["kind"], asked["body"])}))
        return 0
    faults = [fault for name in environments for fault in _faults(name)]
    print("\n".join(faults) or "dashboards and alert policies are valid")
    return 1 if faults else 0


def _faults(environment: str) -> Iterator[str]:
    plan = make_plan(load(environment))
    for kind, texts in (
        ("dashboard", dashboards(plan)),
        ("alert", alert_policies(plan)),
    ):
        for text in texts.values():
            fault = _fault(kind, json.loads(text))
            if fault:
                yield f"{environment}: {fault}"


def _fault(kind: str, body: Mapping[str, Any]) -> str | None:
    check = check_dashboard if kind == "dashboard" else check_alert
    try:
        check(body)
    except ValueError as error:
        return str(error)
    return None


def check_dashboard(body: Mapping[str, Any]) -> None:
    """Raise `ValueError` that names tile and field where Google would refuse."""
    from google.cloud.monitoring_dashboard_v1 import Dashboard

    tiles = body["mosaicLayout"]["tiles"]
    for tile in tiles:
        title = tile["widget"].get("title", "without title")
        probe = {
            "displayName": "probe",
            "mosaicLayout": {"columns": 48, "tiles": [tile]},
        }
        _parse(probe, Dashboard.pb()(), f"tile {title!r}")
        for query in _queries(tile["widget"]):
            _check_query(query, f"tile {title!r}")
    _parse(body, Dashboard.pb()(), f"dashboard {body['displayName']!r}")


def check_alert(body: Mapping[str, Any]) -> None:
    """Raise `ValueError` that names policy and field where Google would refuse."""
    from google.cloud.monitoring_v3 import AlertPolicy

    place = f"alert {body['displayName']!r}"
    _parse(body, AlertPolicy.pb()(), place)
    for condition in body["conditions"]:
        _check_query(condition["conditionPrometheusQueryLanguage"]["query"], place)


def _parse(body: Mapping[str, Any], message: Any, place: str) -> None:
    from google.protobuf import json_format

    try:
        json_format.ParseDict(dict(body), message)
    except json_format.ParseError as error:
        raise ValueError(
            f"{place}: {error}: use a field and value of Google's API"
        ) from error


def _queries(value: Any) -> Iterator[str]:
    """Every PromQL text below a value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "prometheusQuery":
                yield inner
            else:
                yield from _queries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _queries(inner)


def _check_query(query: str, place: str) -> None:
    """Brackets close in order and something is asked; Prometheus checks the rest."""
    if not query.strip():
        raise ValueError(f"{place}: prometheusQuery: empty: write a query")
    open_brackets: list[str] = []
    quoted = False
    for letter in query:
        quoted ^= letter == '"'
        if quoted:
            continue
        if letter in "([{":
            open_brackets.append(letter)
        elif letter in CLOSING and (
            not open_brackets or open_brackets.pop() != CLOSING[letter]
        ):
            raise ValueError(
                f"{place}: prometheusQuery: {letter!r} closes nothing in {query!r}: "
                "balance the brackets"
            )
    if open_brackets or quoted:
        raise ValueError(
            f"{place}: prometheusQuery: {query!r} ends inside a bracket or a text: "
            "close it"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
