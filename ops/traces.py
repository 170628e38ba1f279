"""`meridian trace`: a write on its way through the regions, as a waterfall."""

from __future__ import annotations

import re
import time
from typing import Any

from rich.table import Table
from rich.text import Text

from ops import world
from ops.errors import BAD_INPUT, CommandError

Json = dict[str, Any]
WRITE = "write"
"""Root span of a change; a trace of another name is a request."""
BAR = 40
"""Characters that the whole time takes."""
_ID = re.compile(r"[0-9a-f]{32}")
_HIDDEN = ("meridian.origin", "meridian.lane", "meridian.epoch", "meridian.seq")


def newest(name: str | None) -> list[Json]:
    """The traces that the control plane keeps, newest first."""
    words = f"?name={name}" if name else ""
    found: list[Json] = world.call(f"/console/traces{words}")["traces"]
    return found


def one(given: str | None) -> Json:
    """The trace of an id or of a write's event id; without one the newest write's."""
    if given is None:
        found = newest(WRITE)
        if not found:
            raise CommandError(
                "no write was traced yet: `meridian put` writes one; a share of "
                "telemetry.trace_share is kept"
            )
        given = found[0]["id"]
    return world.call(f"/console/traces/{_trace_id(given)}")


def _trace_id(given: str) -> str:
    if _ID.fullmatch(given):
        return given
    if not given or len(given) > 128:
        text = "a trace is named by its 32 hex digits or by an event id"
        raise CommandError(text, BAD_INPUT)
    from service.tracing import change_root

    return change_root(given).trace.hex()


def listed(traces: list[Json]) -> Table:
    """One line a trace."""
    table = Table(box=None, pad_edge=False)
    for column in ("trace", "what", "from", "at"):
        table.add_column(column)
    for column in ("ms", "spans", "regions"):
        table.add_column(column, justify="right")
    for trace in traces:
        at = time.strftime("%H:%M:%S", time.localtime(trace["began"] / 1000))
        table.add_row(
            trace["id"],
            trace["name"] + (" (failed)" if trace["failed"] else ""),
            trace["region"],
            at,
            f"{trace['ms']:.1f}",
            str(trace["spans"]),
            str(len(trace["regions"])),
        )
    return table


def waterfall(trace: Json) -> Table:
    """One line a span, with a bar where its time lies within the whole."""
    table = Table(box=None, pad_edge=False)
    table.add_column("after ms", justify="right")
    table.add_column("took ms", justify="right")
    table.add_column("", width=BAR, no_wrap=True)
    for column in ("step", "region", "by", ""):
        table.add_column(column)
    whole = max(trace["ms"], 1e-6)
    for span in trace["spans"]:
        after = span["began"] - trace["began"]
        style = "red" if span["failed"] else "cyan"
        table.add_row(
            f"{after:.1f}",
            f"{span['ms']:.1f}",
            Text(bar(after / whole, span["ms"] / whole), style),
            span["name"],
            span["region"],
            span["service"].removeprefix("meridian-"),
            detail(span),
        )
    return table


def bar(start: float, share: float) -> str:
    """A bar from `start` for `share` of the width; never less than one mark."""
    first = min(BAR - 1, int(start * BAR))
    return " " * first + "█" * max(1, min(BAR - first, round(share * BAR)))


def detail(span: Json) -> str:
    """Attributes that are not the same all through the trace."""
    pairs = span["attributes"].items()
    return " ".join(
        f"{key.removeprefix('meridian.')}={value}"
        for key, value in pairs
        if key not in _HIDDEN
    )


def title(trace: Json) -> str:
    """What the waterfall shows, in a line."""
    return (
        f"trace {trace['id']}: {trace['name']} from {trace['region']}, "
        f"{len(trace['spans'])} spans in {len(trace['regions'])} regions, "
        f"{trace['ms']:.1f} ms"
    )
