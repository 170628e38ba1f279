"""Trials of a standing query: what it would have matched, and why."""

import time
from typing import Any

import numpy
import orjson

from service.access.context import Context
from service.contract import Filter, ServiceError
from service.contract.filters import conditions
from service.contract.requests import Explain, Preview
from service.kernel import metric
from service.log.change import Change
from service.log.definition import Definition
from service.stream.instance import Instance

MOST_CHANGES = 5000
"""Changes of one origin that a preview looks at."""


class Judged:
    """Recent changes with their scores against one query, best first."""

    def __init__(
        self, changes: list[Change], scores: Any, seconds: float, *, truncated: bool
    ) -> None:
        order = numpy.argsort(-scores, kind="stable")
        self.changes = [changes[n] for n in order]
        self.scores = scores[order]
        self.seconds = seconds
        self.truncated = truncated

    def threshold_for(self, rate_per_hour: float) -> float:
        """The threshold that so many of the changes an hour would have reached.

        Raises ServiceError when there is nothing to judge by.
        """
        if not len(self.scores):
            raise ServiceError(
                "bad_request",
                "No recent change passes: give a threshold instead of rate_per_hour.",
            )
        wanted = rate_per_hour * self.seconds / 3600
        count = min(max(int(wanted + 0.5), 1), len(self.scores))
        return float(self.scores[count - 1])


class Trials:
    """Operations `preview` and `explain`."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    async def preview(self, context: Context, request: Preview) -> dict[str, Any]:
        """What a standing query would have matched in the recent past."""
        definition = await self._instance.definition(context, request.collection)
        vector = await self._instance.vector(
            definition, request.vector, request.text, "body.vector"
        )
        judged = await judge(
            self._instance,
            definition,
            vector,
            request.filter,  # type: ignore[arg-type]  # parsed
            request.seconds,
        )
        threshold = request.threshold
        if threshold is None:
            assert request.rate_per_hour is not None
            threshold = judged.threshold_for(request.rate_per_hour)
        matches = int((judged.scores >= threshold).sum())
        examples = [
            {
                "id": c.item_id,
                "score": float(s),
                "version": c.at,
                "metadata": orjson.Fragment(c.metadata),
            }
            for c, s in zip(
                judged.changes[: min(matches, request.k)], judged.scores, strict=False
            )
        ]
        return {
            "threshold": threshold,
            "matches": matches,
            "judged": len(judged.changes),
            "seconds": judged.seconds,
            "rate_per_hour": matches * 3600 / judged.seconds,
            "truncated": judged.truncated,
            "examples": examples,
            "region": self._instance.settings.region,
        }

    async def explain(self, context: Context, request: Explain) -> dict[str, Any]:
        """Why a stored item matches or not."""
        instance = self._instance
        definition = await instance.definition(context, request.collection)
        vector = await instance.vector(
            definition, request.vector, request.text, "body.vector"
        )
        rows = await instance.reader.some(definition, [request.id])
        if request.id not in rows:
            raise ServiceError(
                "unknown_item",
                f"{request.collection} holds no item {request.id!r} in "
                f"{instance.settings.region}.",
            )
        row = rows[request.id]
        stored = definition.vector(row["vector"])
        assert stored is not None  # tombstones are not among the rows
        score = float(scores(definition, vector, numpy.stack([stored]))[0])
        metadata = orjson.loads(row["metadata"])
        filter_: Filter | None = request.filter  # type: ignore[assignment]  # parsed
        passes = filter_ is None or filter_.holds(metadata)
        answer: dict[str, Any] = {
            "matches": passes and score >= request.threshold,
            "score": score,
            "threshold": request.threshold,
            "passes_filter": passes,
            "version": row["at"],
        }
        if filter_ is not None:
            answer["filter"] = [
                {"field": c.field, "kind": c.kind, "holds": c.holds(metadata)}
                for c in conditions(filter_)
            ]
        return answer


def scores(definition: Definition, vector: Any, rows: Any) -> Any:
    """Scores of a standing query with written vectors (n, dimension)."""
    factor, bias = metric.standing(definition.metric, vector)
    found = numpy.empty(len(rows), numpy.float32)
    for n, row in enumerate(rows):
        query, offset = metric.written(definition.metric, row)
        found[n] = numpy.float32(factor * float(query @ vector) + bias + offset)
    return found


async def judge(
    instance: Instance,
    definition: Definition,
    vector: Any,
    filter_: Filter | None,
    seconds: float,
) -> Judged:
    """The upserts of the last seconds that pass the filter, and their scores."""
    since = int((time.time() - seconds) * 1000)
    changes, truncated = await instance.reader.recent(
        definition, instance.settings.hubs, since, MOST_CHANGES
    )
    kept, rows = [], []
    for change in changes:
        row = definition.vector(change.vector or b"")
        passes = filter_ is None or filter_.holds(orjson.loads(change.metadata))
        if row is not None and passes:
            kept.append(change)
            rows.append(row)
    found = scores(definition, vector, rows)
    if truncated and changes:
        seconds = max(1.0, time.time() - min(c.committed for c in changes) / 1000)
    return Judged(kept, found, seconds, truncated=truncated)
