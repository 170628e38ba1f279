"""Cloud Deploy: a release goes through the regions wave by wave, by canary."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import clouddeploy

from components._base import Block, Component, coerce
from topology import names

CANARY = (1, 10, 50)
"""Per cent of a region's requests before all; the last phase is always 100."""

STABLE = "stable"
"""Google's name of the phase in which all requests have arrived."""


@dataclass(frozen=True, kw_only=True)
class DeliveryWave:
    """Regions that are rolled out at once."""

    name: str
    """Short and stable: it is part of the names."""
    regions: Sequence[str]
    """Never two that back each other."""


@dataclass(frozen=True, kw_only=True)
class DeliveryArgs:
    """How a release reaches every region."""

    prefix: str
    """Start of the names."""
    project: pulumi.Input[str]
    """Project of the services, known once its APIs answer."""
    location: str
    """Where Cloud Deploy itself runs; a region that is in the first wave or none."""
    waves: Sequence[DeliveryWave]
    """In their order, the canary region first."""
    account_email: pulumi.Input[str]
    """Account that rolls out: roles/clouddeploy.jobRunner, clouddeploy.releaser and
    run.developer in the project, iam.serviceAccountUser on service and workers."""
    bake_seconds: int
    """Wait before each further phase and before the next wave."""
    percentages: Sequence[int] | None = None
    """Default 1, 10 and 50, then all."""
    require_approval: bool | None = None
    """Whether each wave waits for a person; default false."""
    suspended: bool | None = None
    """Stops every rollout at once; default false."""


class Delivery(Component):
    """Pipeline, a target for each region and wave, and what goes on or back by itself.

    It owns image and traffic of the services: their cells need
    `image_owner: delivery`, or the next `up` would roll a release back.
    """

    pipeline: pulumi.Output[str]
    """Id of the pipeline, which releases are made in."""
    targets: pulumi.Output[list[str]]
    """Ids of the regions' targets."""

    def __init__(
        self,
        name: str,
        args: DeliveryArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("meridian:index:Delivery", name, opts)
        args = coerce(DeliveryArgs, args)
        percentages = _checked(args.percentages or CANARY)
        targets = [
            self._target(args, region) for wave in args.waves for region in wave.regions
        ]
        stages = [self._wave(args, wave, targets) for wave in args.waves]
        pipeline = clouddeploy.DeliveryPipeline(
            f"{name}-pipeline",
            project=args.project,
            location=args.location,
            name=names.global_name(args.prefix, "stream"),
            suspended=args.suspended or False,
            serial_pipeline={
                "stages": [
                    {"target_id": stage.name, "strategy": _canary(percentages)}
                    for stage in stages
                ]
            },
            opts=self.child(),
        )
        self._automation(args, pipeline, "advance", _advance(args, percentages))
        self._automation(args, pipeline, "repair", [_repair()])
        self.pipeline = pipeline.id
        self.targets = pulumi.Output.all(*[target.id for target in targets])
        self.finish()

    def _target(self, args: DeliveryArgs, region: str) -> clouddeploy.Target:
        """Targets lie where the pipeline lies, whatever region they roll out to."""
        return clouddeploy.Target(
            f"{self.stem}-{region}",
            project=args.project,
            location=args.location,
            name=names.regional(args.prefix, region),
            run={
                "location": pulumi.Output.concat(
                    "projects/", args.project, "/locations/", region
                )
            },
            execution_configs=[
                {
                    "usages": ["RENDER", "DEPLOY"],
                    "service_account": args.account_email,
                }
            ],
            require_approval=args.require_approval or False,
            opts=self.child(),
        )

    def _wave(
        self,
        args: DeliveryArgs,
        wave: DeliveryWave,
        targets: Sequence[clouddeploy.Target],
    ) -> clouddeploy.Target:
        """A target that stands for all regions of a wave."""
        return clouddeploy.Target(
            f"{self.stem}-wave-{wave.name}",
            project=args.project,
            location=args.location,
            name=names.global_name(args.prefix, f"wave-{wave.name}"),
            multi_target={
                "target_ids": [names.regional(args.prefix, r) for r in wave.regions]
            },
            require_approval=args.require_approval or False,
            opts=self.child(depends_on=list(targets)),
        )

    def _automation(
        self,
        args: DeliveryArgs,
        pipeline: clouddeploy.DeliveryPipeline,
        part: str,
        rules: list[Block],
    ) -> clouddeploy.Automation:
        return clouddeploy.Automation(
            f"{self.stem}-{part}",
            project=args.project,
            location=args.location,
            delivery_pipeline=pipeline.name,
            name=part,
            service_account=args.account_email,
            selector={"targets": [{"id": "*"}]},
            rules=rules,
            opts=self.child(),
        )


def _checked(percentages: Sequence[int]) -> Sequence[int]:
    """Google takes 1 to 99, rising; it adds the last phase itself."""
    rising = sorted(set(percentages))
    if list(percentages) == rising and rising[0] > 0 and rising[-1] < 100:
        return percentages
    raise ValueError(
        f"percentages: {list(percentages)}: each must be 1 to 99 and more than the one "
        f"before; 100 follows by itself: use {list(CANARY)}"
    )


def _canary(percentages: Sequence[int]) -> Block:
    return {
        "canary": {
            "runtime_config": {"cloud_run": {"automatic_traffic_control": True}},
            "canary_deployment": {"percentages": list(percentages), "verify": False},
        }
    }


def _advance(args: DeliveryArgs, percentages: Sequence[int]) -> list[Block]:
    """From phase to phase and from wave to wave, each after the bake time."""
    wait = f"{args.bake_seconds}s"
    phases = [f"canary-{percent}" for percent in percentages]
    return [
        {
            "advance_rollout_rule": {
                "id": "advance",
                "source_phases": phases,
                "wait": wait,
            }
        },
        {
            "promote_release_rule": {
                "id": "promote",
                "destination_target_id": "@next",
                "wait": wait,
            }
        },
    ]


def _repair() -> Block:
    """A phase that failed is not tried again: what ran before serves at once."""
    return {
        "repair_rollout_rule": {
            "id": "rollback",
            "repair_phases": [{"rollback": {"destination_phase": STABLE}}],
        }
    }
