"""The verdict: possible, possible after something is asked for, or impossible."""

from collections.abc import Iterable, Sequence

from topology.finding import Finding, Level

REQUESTS = ("quota-memory", "quota-cpu")
"""What Google is asked for; nothing else stands against it."""

STEPS = ("image-digest",)
"""What is only not done yet."""


def verdict(findings: Iterable[Finding]) -> str:
    """One line over a region's findings, or over all."""
    errors = [f for f in findings if f.level is Level.ERROR]
    if not errors:
        return "possible"
    hard = [f for f in errors if f.code not in (*REQUESTS, *STEPS)]
    after = _after(errors)
    if not hard:
        return f"possible after {after}"
    text = f"impossible because of {_codes(hard)}"
    return f"{text}; besides, only after {after}" if after else text


def _after(errors: Sequence[Finding]) -> str:
    parts = []
    requests = [f for f in errors if f.code in REQUESTS]
    if requests:
        parts.append(f"these quota requests: {_codes(requests)}")
    parts += [f.remedy for f in errors if f.code in STEPS]
    return "; ".join(parts)


def _codes(findings: Sequence[Finding]) -> str:
    """Each rule once, with what it says or in how many places it says it."""
    alike: dict[str, list[Finding]] = {}
    for finding in findings:
        alike.setdefault(finding.code, []).append(finding)
    return ", ".join(f"{code} ({_detail(found)})" for code, found in alike.items())


def _detail(found: Sequence[Finding]) -> str:
    return found[0].message if len(found) == 1 else f"in {len(found)} places"
