"""A rule is switched off for a reason and until a date."""

import datetime
from pathlib import Path

import pytest

from policy import corpus, exemptions
from policy.check import check
from policy.exemptions import Exemption, ExemptionError, load
from policy.rule import Violation
from policy.rules import by_id, every

TODAY = datetime.date(2026, 11, 24)
REASON = "clients of the pilot cannot resume yet"


def exemption(place: str, until: datetime.date = TODAY) -> Exemption:
    return Exemption(
        rule="run-timeout-for-streams", place=place, reason=REASON, until=until
    )


@pytest.fixture
def violations() -> list[Violation]:
    stack = corpus.examples()["run-timeout-for-streams"].refused
    found = check(corpus.records(stack), every())
    assert "run-timeout-for-streams" in {v.rule for v in found}
    return found


def written(folder: Path, text: str) -> Path:
    file = exemptions.file_of(folder, "prod")
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("place", ["service", "serv*", "*::service", "urn:*Service::*"])
def test_a_violation_is_excused_by_name_or_pattern(
    violations: list[Violation], place: str
) -> None:
    judged = exemptions.apply(violations, [exemption(place)], TODAY)
    excused = [violation.rule for violation, _ in judged.excused]
    assert excused == ["run-timeout-for-streams"]
    assert len(judged.standing) == len(violations) - 1
    assert judged.unused == ()


def test_another_resource_or_rule_is_not_excused(violations: list[Violation]) -> None:
    judged = exemptions.apply(violations, [exemption("services")], TODAY)
    assert list(judged.standing) == violations
    assert [e.place for e in judged.unused] == ["services"]


def test_an_ended_exemption_names_rule_date_and_remedy() -> None:
    yesterday = TODAY - datetime.timedelta(1)
    with pytest.raises(ExemptionError) as caught:
        exemptions.apply([], [exemption("service", yesterday)], TODAY)
    assert str(caught.value) == (
        "the exemption of service from run-timeout-for-streams ended on 2026-11-23, "
        "today is 2026-11-24: mend the resource and remove the exemption, or give a "
        "new date with a new reason"
    )


def test_without_a_file_there_are_no_exemptions(tmp_path: Path) -> None:
    assert load(exemptions.file_of(tmp_path, "prod"), by_id(), TODAY) == ()


def test_a_file_is_read(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "exemptions:\n"
        "  - rule: run-timeout-for-streams\n"
        "    place: '*-service'\n"
        f"    reason: {REASON}\n"
        "    until: 2027-01-31\n",
    )
    (found,) = load(file, by_id(), TODAY)
    assert found == exemption("*-service", datetime.date(2027, 1, 31))


GOOD = {
    "rule": "redis-tls",
    "place": "cache",
    "reason": f'"{REASON}"',
    "until": "2026-12-31",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reason": None}, "reason is missing: say why, and who mends it"),
        ({"reason": "later"}, "reason is 'later': 10 characters or more, say why"),
        ({"until": None}, "until is missing: the last day, such as 2027-01-31"),
        ({"until": "soon"}, "until is 'soon': the last day, such as 2027-01-31"),
        ({"until": "2029-01-01"}, "2027-11-25 is the latest"),
        ({"rule": "no-such-rule"}, "rule 'no-such-rule' does not exist"),
        ({"rule": "7"}, "rule is 7: a text is expected"),
        ({"place": None}, "place is missing"),
        ({"why": "x"}, "why is not known: use rule, place, reason, until"),
    ],
)
def test_an_entry_is_validated(
    tmp_path: Path, change: dict[str, str | None], message: str
) -> None:
    entry = {k: v for k, v in {**GOOD, **change}.items() if v is not None}
    body = "\n    ".join(f"{key}: {value}" for key, value in entry.items())
    file = written(tmp_path, f"exemptions:\n  - \n    {body}\n")
    with pytest.raises(ExemptionError) as caught:
        load(file, by_id(), TODAY)
    assert "prod.yaml: exemptions[0]: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "exemptions: 3", "others: []", "a: [", "\t"]
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ExemptionError, match=r"prod\.yaml: "):
        load(file, by_id(), TODAY)


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "exemptions:\n  - {rule: a}\n  - 3\n")
    with pytest.raises(ExemptionError) as caught:
        load(file, by_id(), TODAY)
    assert len(caught.value.problems) == 4
