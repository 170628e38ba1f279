"""Requests to Google for more Cloud Run capacity: answered later, or never."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import cloudquota

from components._base import Component, coerce
from topology import limits

SERVICE = "run.googleapis.com"
MILLI = 1000
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class QuotaRequest:
    """What one region needs; what is left out is not asked for."""

    region: str
    """Region that the quota counts in."""
    vcpu: int | None = None
    """vCPU at the ceiling, twice that where a revision shall roll out there."""
    memory_gib: int | None = None
    """GiB at the ceiling; at 4 GiB a vCPU this one binds first."""


@dataclass(frozen=True, kw_only=True)
class QuotasArgs:
    """Quota preferences of one project."""

    project: pulumi.Input[str]
    """Project of the services, known once its APIs answer."""
    requests: Sequence[QuotaRequest]
    """One a region."""
    contact_email: str | None = None
    """Whom Google asks back; the account must be allowed to change quotas."""
    justification: str | None = None
    """Shown to who decides at Google."""


class Quotas(Component):
    """One preference a region and quota: an `up` asks, it does not wait for the answer.

    Raised only: Google refuses to lower one below use or by more than a tenth, and this
    sets no switch that would allow it. Deleting one takes nothing back.
    """

    preferences: pulumi.Output[list[str]]
    """Ids of the preferences; each tells at Google what was granted."""

    def __init__(
        self,
        name: str,
        args: QuotasArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("meridian:index:Quotas", name, opts)
        args = coerce(QuotasArgs, args)
        made: list[cloudquota.SQuotaPreference] = []
        for each in args.requests:
            if each.vcpu is not None:
                wanted = each.vcpu * MILLI
                made.append(self._ask(args, each, "cpu", limits.QUOTA_CPU, wanted))
            if each.memory_gib is not None:
                wanted = each.memory_gib * GIB
                made.append(
                    self._ask(args, each, "memory", limits.QUOTA_MEMORY, wanted)
                )
        self.preferences = pulumi.Output.all(*[each.id for each in made])
        self.finish()

    def _ask(
        self, args: QuotasArgs, place: QuotaRequest, part: str, quota: str, wanted: int
    ) -> cloudquota.SQuotaPreference:
        """Milli-vCPU or bytes, as text: Google counts in 64 bits."""
        return cloudquota.SQuotaPreference(
            f"{self.stem}-{part}-{place.region}",
            name=f"run-{part}-{place.region}",
            parent=pulumi.Output.concat("projects/", args.project),
            service=SERVICE,
            quota_id=quota,
            dimensions={"region": place.region},
            quota_config={"preferred_value": str(wanted)},
            contact_email=args.contact_email,
            justification=args.justification,
            opts=self.child(),
        )
