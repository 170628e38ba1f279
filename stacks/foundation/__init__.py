"""The layer below every region."""

from components.foundation import Foundation, FoundationArgs
from components.image import ServiceImageArgs
from stacks.environment import World
from stacks.wiring import FOUNDATION, Wiring
from topology.reader import ROOT

UNBUILT = f"sha256:{'0' * 64}"
"""Shown by previews before the first build; a finding refuses the `up`."""


def foundation(world: World, wiring: Wiring) -> Foundation:
    """Declare the foundation and publish its outputs."""
    catalogue = world.catalogue
    image = catalogue.image
    made = Foundation(
        "foundation",
        FoundationArgs(
            project=catalogue.project_of("foundation"),
            other_projects=catalogue.projects_besides("foundation"),
            prefix=catalogue.prefix,
            services_range=catalogue.network.services,
            hubs=world.plan.hubs,
            dead_letter_seconds=7 * 86_400,
            metrics=catalogue.telemetry.sidecar is not None,
            pushes=catalogue.telemetry.push_seconds is not None,
            traces=catalogue.telemetry.trace_share > 0,
            image=ServiceImageArgs(
                repository=image.repository,
                location=image.location,
                image=image.name,
                digest=image.digest or UNBUILT,
                build_context=str(ROOT) if image.build else None,
                durability=catalogue.durability,
            ),
        ),
        world.options("foundation"),
    )
    wiring.publish("foundation", made, FOUNDATION)
    return made
