"""What every program stands on: catalogue, plan, provider, and what stands against."""

import dataclasses
import datetime
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_gcp

from stacks.adopting import adopt
from topology import Catalogue, CatalogueError, Plan, load, make_plan, reader
from topology.acceptance import Acceptance, acceptance, standing
from topology.blocks import DIGEST
from topology.catalogue import Layout
from topology.findings import Finding, fold

CATALOGUES = "MERIDIAN_CATALOGUES"
"""Folder of catalogues in place of the clone's: `meridian apply` rolls back by it."""

SCRATCH = "MERIDIAN_SCRATCH"
"""Set for a rehearsal, where findings and layout do not matter: nothing is made."""
REHEARSAL = "rehearsal"
"""Access token of a rehearsal. Google refuses it, should its provider ever run one."""


class FindingsError(pulumi.RunError):
    """An `up` of a plan that cannot be done."""


class InputError(pulumi.RunError):
    """A catalogue or a configuration value that cannot be used."""


@dataclass(frozen=True, kw_only=True)
class World:
    """One environment as its program sees it."""

    plan: Plan
    """Plan with the configured image digest in it."""
    providers: Mapping[str, pulumi_gcp.Provider]
    """One explicit provider for each project that the stack declares in."""

    @property
    def catalogue(self) -> Catalogue:
        """What the plan was made from."""
        return self.plan.catalogue

    def options(self, layer: str, region: str | None = None) -> pulumi.ResourceOptions:
        """Options of a top-level component: the provider of its project."""
        project = self.catalogue.project_of(layer, region)
        return pulumi.ResourceOptions(provider=self.providers[project])

    def project(
        self, known: pulumi.Input[str], layer: str, region: str | None = None
    ) -> pulumi.Input[str]:
        """Project of a layer or cell, known once the foundation's `project` is."""
        own = self.catalogue.project_of(layer, region)
        if own == self.catalogue.project_of("foundation"):
            return known
        return pulumi.Output.from_input(known).apply(lambda _: own)


def open_world(
    form: Layout = Layout.WHOLE, layer: str | None = None, region: str | None = None
) -> World:
    """Read configuration and catalogue, say the findings, make the providers.

    `form` is what the program declares: all layers, or one slice of them, `layer`
    and `region`.
    """
    config = pulumi.Config("meridian")
    name = config.get("environment") or pulumi.get_stack().partition(".")[0]
    catalogue = with_digest(_load(name), config.get("imageDigest"))
    plan = make_plan(catalogue)
    if is_rehearsal():
        made = _providers(catalogue, layer, region, access_token=REHEARSAL)
        return World(plan=plan, providers=made)
    guard(catalogue, form, pulumi.runtime.is_dry_run())
    report(plan.findings, pulumi.runtime.is_dry_run(), accepted(config))
    _adopt(name)
    return World(plan=plan, providers=_providers(catalogue, layer, region))


def is_rehearsal() -> bool:
    """Whether this run applies to a scratch state, for `meridian diff`."""
    return bool(os.environ.get(SCRATCH))


def _providers(
    catalogue: Catalogue, layer: str | None, region: str | None, **more: str
) -> Mapping[str, pulumi_gcp.Provider]:
    """A provider for every project that a stack declares in."""
    if layer is not None and (region is None or region in catalogue.regions):
        projects = [catalogue.project_of(layer, region)]
    else:
        base = catalogue.project_of("foundation")
        projects = [base, *catalogue.projects_besides("foundation")]
    return {
        project: _provider(
            "gcp" if position == 0 else f"gcp-{project}", project, catalogue, **more
        )
        for position, project in enumerate(projects)
    }


def _provider(
    name: str, project: str, catalogue: Catalogue, **more: str
) -> pulumi_gcp.Provider:
    return pulumi_gcp.Provider(
        name,
        project=project,
        default_labels={
            "environment": catalogue.environment,
            "managed-by": "pulumi",
            "platform": "meridian",
        },
        # Data says PREVENT for itself; all else must be replaceable.
        deletion_policy="DELETE",
        **more,
    )


def _load(name: str) -> Catalogue:
    """A bad catalogue ends the program with its problems and no stack trace."""
    try:
        folder = os.environ.get(CATALOGUES)
        return load(name, Path(folder)) if folder else load(name)
    except CatalogueError as error:
        raise InputError(str(error)) from error


def _adopt(name: str) -> None:
    """What the environment lists as existing is imported, not made."""
    try:
        adopt(Path(os.environ.get(CATALOGUES) or reader.CATALOGUES), name)
    except CatalogueError as error:
        raise InputError(str(error)) from error


def with_digest(catalogue: Catalogue, digest: str | None) -> Catalogue:
    """The catalogue with the digest of a fresh build in place of its own."""
    if not digest:
        return catalogue
    if not re.fullmatch(DIGEST, digest):
        raise InputError(
            f"meridian:imageDigest: {digest!r} is not sha256: and 64 hexadecimal "
            "digits: pass what `meridian image build` prints"
        )
    image = dataclasses.replace(catalogue.image, digest=digest)
    return dataclasses.replace(catalogue, image=image)


def guard(catalogue: Catalogue, form: Layout, dry_run: bool) -> None:
    """Nothing is managed twice: only the catalogue's own layout may `up`."""
    if catalogue.layout is form:
        return
    reason = (
        f"{catalogue.environment} is owned by its {catalogue.layout} layout, this "
        f"program declares the {form} one: it may preview, not `up`; run the other "
        f"stacks, or set layout: {form} in the catalogue"
    )
    if not dry_run:
        raise InputError(reason)
    pulumi.log.warn(reason)


def accepted(config: pulumi.Config) -> list[Acceptance]:
    """Acceptances in the stack's configuration; those that count become an output."""
    today = datetime.datetime.now(datetime.UTC).date()
    try:
        given = json.loads(config.get("accepted") or "[]")
        found = [acceptance(each, today) for each in given]
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"meridian:accepted: {error}") from error
    if found:
        pulumi.export("accepted", [each.to_json() for each in found])
    return found


def report(
    findings: tuple[Finding, ...], dry_run: bool, excused: Sequence[Acceptance] = ()
) -> None:
    """Warn of errors in a preview, refuse them in an `up` unless accepted."""
    today = datetime.datetime.now(datetime.UTC).date()
    errors = standing(findings, excused, today)
    if not errors:
        return
    listed = "\n".join(f"  {line}" for line in fold(errors))
    if dry_run:
        pulumi.log.warn(f"{len(errors)} findings would refuse an `up`:\n{listed}")
        return
    raise FindingsError(
        f"{len(errors)} findings of level error stand against this `up`; nothing was "
        f"changed. Follow the remedies, or lower the catalogue's demand:\n{listed}"
    )
