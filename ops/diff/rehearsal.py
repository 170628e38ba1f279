"""Two revisions on the real engine: one applied to a scratch state, one previewed.

Nothing of a rehearsal outlives it but the answer; its state is thrown away with its
folder.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import topology
from ops import backend, inline, stack
from ops.engine import PREVIEW, QUIET
from ops.errors import BAD_INPUT, CommandError
from ops.fleet import UP
from ops.paths import ROOT, WORK
from ops.stack import Stack

Json = dict[str, Any]
NAME = "scratch"
WORKING_TREE = "the working tree"
FAST = {
    "MERIDIAN_SCRATCH": "1",
    "PULUMI_EXPERIMENTAL": "true",
    "PULUMI_SKIP_CHECKPOINTS": "true",
}


@dataclass(frozen=True)
class Scratch(Stack):
    """The whole of an environment in a stack that nothing else knows."""

    home: Path = WORK
    """Folder of project, configuration and state."""
    tree: Path = ROOT
    """Checkout whose program runs."""

    @property
    def name(self) -> str:
        return NAME

    @property
    def folder(self) -> Path:
        return self.home

    @property
    def program(self) -> Path:
        return self.tree / "stacks" / "world" / "__main__.py"

    @property
    def config(self) -> Path:
        return self.home / f"Pulumi.{NAME}.yaml"

    @property
    def state(self) -> Path:
        return self.home / "state/.pulumi/stacks" / self.project / f"{NAME}.json"


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a rehearsal found."""

    base: str
    """Revision that the scratch state holds."""
    head: str
    """Revision that was previewed on it."""
    plan: Json
    """The engine's own answer to `preview --json`; not to be printed."""
    before: list[Json]
    """Resources of the scratch state; not to be printed."""
    trees: tuple[Path, Path]
    """Checkouts of both."""


@contextlib.contextmanager
def rehearse(
    environment: str, base: str, head: str | None, say: Callable[[str], None]
) -> Iterator[Rehearsal]:
    """Apply `base` to a scratch state and preview `head` on it; the working tree when
    that is None.
    """
    stack.stack(environment)
    (WORK / "diff").mkdir(parents=True, exist_ok=True)
    with (
        _checkout(base) as old,
        _checkout(head) as new,
        tempfile.TemporaryDirectory(dir=WORK / "diff") as folder,
    ):
        home = Path(folder)
        for tree, name in ((old, base), (new, head or WORKING_TREE)):
            if not (tree / "stacks" / "catalogue" / f"{environment}.yaml").exists():
                text = f"{name} has no catalogue of {environment!r}"
                raise CommandError(text, BAD_INPUT)
        if head is None:
            # Bad input is said at once; other revisions have readers of their own.
            topology.load(environment)
        inline.warm()
        say(f"applying {base} to a scratch state")
        applied = Scratch(environment, home=home, tree=old)
        run(applied, UP)
        before = unprotected(applied)
        say(f"previewing {head or WORKING_TREE} on it")
        text = run(Scratch(environment, home=home, tree=new), PREVIEW)
        yield Rehearsal(
            base=base,
            head=head or WORKING_TREE,
            plan=json.loads(text),
            before=before,
            trees=(old, new),
        )


def unprotected(target: Stack) -> list[Json]:
    """Take the protection out of a scratch state, or the engine would stop at the first
    protected resource; the resources as they were.
    """
    document = json.loads(target.state.read_text())
    resources: list[Json] = document["checkpoint"]["latest"]["resources"]
    free = [{k: v for k, v in r.items() if k != "protect"} for r in resources]
    document["checkpoint"]["latest"]["resources"] = free
    target.state.write_text(json.dumps(document))
    return resources


@contextlib.contextmanager
def _checkout(revision: str | None) -> Iterator[Path]:
    """A worktree of a revision while it is needed; the clone itself for None."""
    if revision is None:
        yield ROOT
        return
    commit = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if commit is None:
        text = f"{revision!r} is no revision of this repository: see `git log`"
        raise CommandError(text, BAD_INPUT)
    with tempfile.TemporaryDirectory(dir=WORK / "diff") as folder:
        tree = Path(folder) / "tree"
        if _git("worktree", "add", "--detach", "--quiet", str(tree), commit) is None:
            raise CommandError(f"no worktree of {revision} can be made")
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*words: str) -> str | None:
    done = subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


def run(
    target: Scratch, command: tuple[str, ...], more: Mapping[str, str] | None = None
) -> str:
    """One run of the engine over the scratch stack."""
    _prepare(target)
    extra = {
        **FAST,
        **QUIET,
        "PULUMI_BACKEND_URL": f"file://{target.home / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": NAME,
        "PULUMI_CONFIG_PASSPHRASE_FILE": "",
        **(more or {}),
    }
    with inline.Pool(1) as pool:
        # What runs here is this clone's code already.
        tree = None if target.tree == ROOT else target.tree
        task = inline.Task(target=target, command=command, extra=extra, tree=tree)
        pool.start(task)
        (result,) = pool.wait()
    if result.error:
        raise CommandError(result.error)
    return result.output


def _prepare(target: Scratch) -> None:
    """Project, configuration and an empty stack, where missing."""
    project = {"name": target.project, "runtime": "python"}
    (target.home / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    config: Json = {"meridian:environment": target.environment}
    if target.environment == "local":
        config["meridian:imageDigest"] = backend.tree_digest(target.tree)
    # With another salt the engine would derive a second key, a quarter of a second.
    kept = yaml.safe_load(target.config.read_text()) if target.config.exists() else {}
    salt = {k: v for k, v in kept.items() if k == "encryptionsalt"}
    target.config.write_text(yaml.safe_dump({"config": config, **salt}))
    if not target.state.exists():
        backend.begin(target)
