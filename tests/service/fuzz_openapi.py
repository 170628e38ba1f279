"""What the published OpenAPI document says, asked of a running service by schemathesis.

    python -m tests.service.fuzz_openapi --url http://127.0.0.1:8080 --examples 200

Every operation gets data that its schema allows and data that it does not. A status
that is not declared, a fault (500), an answer of another type or shape than declared,
or a request beyond its schema that is taken all the same, is a failure.
"""

import argparse
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from zlib import crc32

import requests
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.generation import GenerationMode

from service.contract import OPERATIONS
from service.contract.fields import NAME_PATTERN
from service.contract.openapi import openapi

KNOWN = {"fuzz1": 1, "fuzz2": 2}
"""Collections that there are, by dimension: of the lists that are drawn most are short,
so that some writes and searches succeed."""
UNKNOWN = 5
"""Of so many sound names in paths one stays; the others become one of these."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
PASSING = ("2xx", "3xx", "4xx", "503", "504", "507")
"""What is no fault: under load and without room the contract refuses so."""


@dataclass
class Report:
    """What a run saw."""

    cases: Counter[str] = field(default_factory=Counter)
    """Requests of each operation (`METHOD /path`)."""
    statuses: Counter[int] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    """Requests with data that the schema allows (`positive`), and others."""
    failures: list[str] = field(default_factory=list)
    """Check, request and answer of each; errors of schemathesis itself too."""


def run(url: str, seed: int, examples: int, *, every_edge: bool = True) -> Report:
    """Asks at most so many random examples of each operation, and the edges of its
    schema; the same seed gives the same requests.

    Without `every_edge` those of a filter, some 500, are asked of `search` alone.
    """
    _create(url)
    config = _config(seed, examples, [] if every_edge else _filtered())
    schema = schemathesis.openapi.from_dict(openapi(), config=config)
    schema.config.update(base_url=url)
    _prefer_known(schema)
    report = Report()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            _count(report, event.recorder)
        elif isinstance(event, events.NonFatalError):
            report.failures.append(f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            report.failures.append(repr(event.exception))
    return report


def _filtered() -> list[str]:
    """Operations with a filter, but `search`."""
    return [
        operation.name
        for operation in OPERATIONS.values()
        if "filter" in operation.request.__dataclass_fields__
        and operation.name != "search"
    ]


def _config(seed: int, examples: int, random_only: list[str]) -> SchemathesisConfig:
    no_edges = {"phases": {"coverage": {"enabled": False}}}
    # Nothing is drawn from answers: it would drop what others use, and vary.
    drawn = {"extra-data-sources": {"responses": False}}
    checks = {"enabled": False} | {name: {"enabled": True} for name in CHECKS}
    checks["not_a_server_error"]["expected-statuses"] = list(PASSING)
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "continue-on-failure": True,
            "request-timeout": 30.0,
            # One asks in order. Two would be no faster, and Python 3.11 cannot parse
            # sources in two threads at once, as hypothesis does.
            "workers": 1,
            "suppress-health-check": ["all"],
            "generation": {"max-examples": examples, "database": "none"},
            "checks": checks,
            "phases": {
                "stateful": {"enabled": False},
                "fuzzing": drawn,
                "coverage": drawn,
            },
            "operations": [
                {"include-operation-id": name, **no_edges} for name in random_only
            ],
        }
    )


def _create(url: str) -> None:
    for name, dimension in KNOWN.items():
        body = {"name": name, "dimension": dimension, "public": True}
        requests.post(f"{url}/v1/collections", json=body, timeout=30).raise_for_status()


def _prefer_known(schema: schemathesis.BaseSchema) -> None:
    """A random name is never one of a collection that there is."""

    @schema.hook("map_case")
    def map_case(context, case):
        given = (case.path_parameters or {}).get("collection")
        sound = isinstance(given, str) and re.search(NAME_PATTERN, given)
        dropping = case.operation.definition.raw["operationId"] == "drop_collection"
        # By the name itself: the same seed gives the same requests.
        drawn = crc32(given.encode()) if sound else 0
        if drawn % UNKNOWN and not dropping:
            names = list(KNOWN)
            case.path_parameters["collection"] = names[drawn % len(names)]
        return case


def _count(report: Report, recorder) -> None:
    for number, node in recorder.cases.items():
        report.cases[node.value.operation.label] += 1
        meta = node.value.meta
        positive = meta is not None and meta.generation.mode is GenerationMode.POSITIVE
        report.modes["positive" if positive else "negative"] += 1
        interaction = recorder.interactions.get(number)
        if interaction is not None and interaction.response is not None:
            report.statuses[interaction.response.status_code] += 1
        for check in recorder.checks.get(number, ()):
            if check.failure_info is not None and not _refused_alone(
                check, interaction
            ):
                report.failures.append(_told(node.value, check, interaction))


def _refused_alone(check, interaction) -> bool:
    """Whether wrong items were refused one by one: the answer to the others is 200."""
    if check.name != "negative_data_rejection":
        return False
    results = interaction.response.json().get("results") or []
    return any("error" in one for one in results)


def _told(case, check, interaction) -> str:
    answer = interaction and interaction.response
    body = answer.content[:300] if answer is not None else None
    status = answer.status_code if answer is not None else None
    request = f"{case.method} {case.formatted_path} {case.body!r:.400}"
    why = " ".join(str(check.failure_info.failure).split())[:400]
    return f"{check.name}: {request} -> {status} {body!r}: {why}"


def show(report: Report) -> None:
    """Prints what was seen."""
    print(f"openapi: {sum(report.cases.values())} requests, {dict(report.modes)}")
    print(
        f"  {len(report.cases)} operations, at least {min(report.cases.values())} each"
    )
    print(f"  statuses: {dict(sorted(report.statuses.items()))}")
    for failure in report.failures:
        print("WRONG", failure)


def main() -> None:
    """The command, against a service that runs already."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = run(options.url, options.seed, options.examples)
    show(report)
    sys.exit(bool(report.failures))


if __name__ == "__main__":
    main()
