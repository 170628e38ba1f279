"""Waits until an instance holds what was written somewhere."""

from service.access.context import Context
from service.contract import ServiceError
from service.log.change import START, Position
from service.log.definition import Definition
from service.stream.instance import Instance

_PATIENCE = 5.0
"""Seconds to wait where no deadline is given."""


async def catch_up(
    instance: Instance,
    definition: Definition,
    wanted: dict[str, Position],
    context: Context,
) -> None:
    """Returns once the collection's lane has reached positions by origin.

    At half the time what is missing is fetched. Raises ServiceError `behind`.
    """
    lane, _ = await instance.lanes.collection(definition)
    patience = context.left(_PATIENCE)
    if await lane.reach(wanted, patience / 2):
        return
    await instance.lanes.hasten(lane, wanted)
    if not await lane.reach(wanted, patience / 2 * 0.9):
        here = lane.positions
        raise ServiceError(
            "behind",
            f"{instance.settings.region} does not hold the write yet: ask again, or "
            "the region that took it.",
            details={
                "wanted": _shown(wanted),
                "reached": _shown({o: here.get(o, START) for o in wanted}),
                "retry_after": 0.5,
            },
            elsewhere=True,
        )


def _shown(positions: dict[str, Position]) -> dict[str, list[int]]:
    return {origin: [*position] for origin, position in positions.items()}
