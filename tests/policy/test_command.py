"""`meridian policy`."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ops import policy as policies
from ops.commands import policy as command
from ops.errors import BAD_INPUT, CommandError
from policy import corpus
from policy.record import Record
from policy.rules import every

ROOT = Path(__file__).resolve().parents[2]


def state(folder: Path, *examples: str) -> Path:
    """A stack export of the refused examples of rules."""
    resources: list[dict[str, Any]] = []
    for name in examples:
        for record in corpus.records(copy.deepcopy(corpus.examples()[name].refused)):
            resources.append(
                {
                    "urn": record.urn,
                    "type": record.token,
                    "custom": True,
                    "inputs": record.inputs,
                    "protect": record.protect,
                    "ignoreChanges": record.ignore_changes,
                    "dependencies": record.depends_on,
                }
            )
    file = folder / "state.json"
    file.write_text(json.dumps({"deployment": {"resources": resources}}))
    return file


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(command.group, list(words))
    if isinstance(done.exception, CommandError):
        raise done.exception
    return done.exit_code, done.stdout


def test_a_mandatory_violation_ends_in_3_and_is_answered_in_full(
    tmp_path: Path,
) -> None:
    file = state(tmp_path, "redis-auth", "redis-two-zones")
    code, output = run("--state", str(file), "--json")
    answer = json.loads(output)
    assert code == 3
    assert {r["id"] for r in answer["rules"]} == {r.id for r in every()}
    assert all({"id", "level", "source"} <= set(r) for r in answer["rules"])
    found = {v["rule"]: v for v in answer["violations"]}
    assert found["redis-auth"]["level"] == "mandatory"
    assert found["redis-auth"]["urn"].endswith("::cache")
    assert found["redis-auth"]["remedy"] in found["redis-auth"]["message"]


def test_advice_alone_ends_in_0(tmp_path: Path) -> None:
    code, output = run("--state", str(state(tmp_path, "redis-two-zones")))
    assert code == 0
    assert "advisory: cache: tier is BASIC" in output
    assert "1 resources of prod" in output
    assert output.splitlines()[-1].endswith("0 mandatory, 1 advisory broken")


def test_a_preview_is_read_from_a_file(tmp_path: Path) -> None:
    document = json.loads(state(tmp_path, "bucket-uniform-access").read_text())
    steps = [
        {"op": "create", "newState": resource}
        for resource in document["deployment"]["resources"]
    ]
    file = tmp_path / "preview.json"
    file.write_text(json.dumps({"steps": steps}))
    code, output = run("--preview", str(file))
    assert code == 3
    assert "bucket: uniformBucketLevelAccess is false" in output


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file"), ("{", "Expecting"), ("{}", "no `deploy")],
)
def test_a_file_of_something_else_is_bad_input(
    tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "state.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(CommandError, match=message) as caught:
        run("--state", str(file))
    assert caught.value.code == BAD_INPUT


def test_two_sources_exclude_each_other(tmp_path: Path) -> None:
    file = str(state(tmp_path, "redis-auth"))
    with pytest.raises(CommandError, match="exclude each other"):
        run("--state", file, "--preview", file)


def test_an_exemption_of_the_environment_is_applied_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "CATALOGUES", tmp_path)
    folder = tmp_path / "exemptions"
    folder.mkdir()
    until = policies.today()
    entry = {
        "rule": "redis-auth",
        "place": "cache",
        "reason": "the pilot's clients cannot log in yet",
        "until": until,
    }
    text = json.dumps({"exemptions": [entry]}, default=str).replace(
        f'"{until}"', str(until)
    )
    (folder / "prod.yaml").write_text(text)
    code, output = run("--state", str(state(tmp_path, "redis-auth")))
    assert code == 0
    assert f"exempted until {until}: cache: authEnabled is false" in output
    (folder / "prod.yaml").write_text(text.replace(str(until), "2026-01-31"))
    with pytest.raises(CommandError, match="redis-auth ended on 2026-01-31") as caught:
        run("--state", str(state(tmp_path, "redis-auth")))
    assert caught.value.code == BAD_INPUT


def test_a_whole_environment_is_planned_and_passes(
    monkeypatch: pytest.MonkeyPatch, world: Callable[[str], list[Record]]
) -> None:
    """The engine itself runs in `tests/policy_engine`."""
    monkeypatch.setattr(policies, "planned", lambda name, say: world(name))
    code, output = run("--env", "prod")
    assert code == 0
    assert "0 mandatory, 0 advisory broken" in output


def test_a_plan_is_kept_while_nothing_changes_that_it_is_made_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ops import backend, engine

    exported = json.loads(state(tmp_path, "redis-auth").read_text())
    planned = [
        {"op": "create", "newState": {**found, "sourcePosition": "project:///secret"}}
        for found in exported["deployment"]["resources"]
    ]
    runs: list[str] = []

    def run_engine(*_: Any, **__: Any) -> str:
        runs.append("planned")
        return json.dumps({"steps": planned})

    monkeypatch.setattr(backend, "prepare", lambda target: None)
    monkeypatch.setattr(engine, "run", run_engine)
    monkeypatch.setattr(policies, "ROOT", tmp_path)
    monkeypatch.setattr(policies, "WORK", tmp_path / "work")
    (tmp_path / "components").mkdir()
    source = tmp_path / "components" / "cache.py"
    source.write_text("a = 1")
    said: list[str] = []
    first = policies.planned("prod", said.append)
    assert [r.name for r in first] == ["cache"]
    assert policies.planned("prod", said.append) == first
    assert (len(runs), len(said)) == (1, 1)

    kept = tmp_path / "work" / "policy" / "prod.json"
    assert "sourcePosition" not in kept.read_text()
    source.write_text("a = 2")
    policies.planned("prod", said.append)
    assert len(runs) == 2
    kept.write_text("[")
    assert policies.planned("prod", said.append) == first
    assert len(runs) == 3


def test_the_corpus_is_executed_at_once_and_without_pulumi() -> None:
    program = (
        "import sys; sys.argv = ['meridian', 'policy', '--corpus', '--json']\n"
        "from ops.cli import main\n"
        "try: main()\n"
        "finally: print('pulumi' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.strip() == "False"
    answer = json.loads(done.stdout)
    assert len(answer["faults"]) == 35
    assert answer["wrong"] == []
    assert len(answer["rules"]) == len(every())
    assert all(r["accepted"] and r["refused"] for r in answer["rules"].values())


def test_an_example_that_proves_nothing_fails_the_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = corpus.examples()["redis-auth"]
    idle = corpus.Example(
        rule=honest.rule,
        accepted=honest.accepted,
        refused=honest.accepted,
        place=honest.place,
    )
    changed = {**corpus.examples(), "redis-auth": idle}
    monkeypatch.setattr(policies.corpus, "examples", lambda: changed)
    code, output = run("--corpus")
    assert code == 1
    assert "passing accepted, failing NOT REFUSED" in output
