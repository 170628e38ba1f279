"""Starts the streams of a connection: new ones, and those that were kept."""

import uuid
from typing import TYPE_CHECKING, Any

import orjson

from service.api.trials import judge
from service.contract import ServiceError, parse_vector
from service.contract.fields import LEASE_SECONDS
from service.contract.messages import Attach, Watch
from service.log.change import Positions
from service.log.definition import Definition
from service.stream.connections import Connections
from service.stream.instance import Instance
from service.stream.kept import Kept, Stored, new_id, read_stored, written
from service.stream.lane import Collection, Lane
from service.stream.learner import Learner
from service.stream.standing import Stream
from service.stream.starting import Starting
from service.stream.token import read_token, write_token
from service.stream.window import wanted_window

if TYPE_CHECKING:
    from service.stream.session import Session

_RATE_SECONDS = 3600.0


class Opening:
    """Opens streams for one session, which is told of them by `begin`."""

    def __init__(
        self,
        session: "Session",
        instance: Instance,
        connections: Connections,
        learner: Learner,
    ) -> None:
        self._session = session
        self._instance = instance
        self._keeper = instance.keeper
        self._connections = connections
        self._learner = learner
        self._starting = Starting(instance.reader)
        self._caller = session.context.caller

    async def watch(self, wanted: Watch) -> None:
        """Starts a new stream."""
        await self._admit(wanted.stream)
        if not wanted.persistent:
            await self._check_quota()
        stream, definition = await self._new(wanted)
        lane, collection = await self._instance.lanes.collection(definition)
        positions, gaps = await self._starting.find(lane, wanted.from_)
        self.refuse_more(stream.id)
        if wanted.learned is not None:
            await self._learner.begin(stream, definition, wanted.learned)
        if wanted.persistent:
            if positions is None:
                positions = dict(lane.positions)
            await self._store(stream, definition, wanted, positions)
        try:
            self._begin(stream, lane, collection, positions)
        except ServiceError:
            if stream.kept is not None:
                await self._keeper.drop(self._caller.tenant, stream.kept.id)
            raise
        self._session.begun(stream, gaps, learned=wanted.learned is not None)

    async def attach(self, wanted: Attach) -> None:
        """Takes a persistent stream over."""
        await self._admit(wanted.stream)
        kept, token = await self._taken(wanted)
        definition = await self._collection(kept)
        lane, collection = await self._instance.lanes.collection(definition)
        kept.acked = read_token(token, lane.number).positions
        kept.saved = None if kept.unfenced else dict(kept.acked)
        if wanted.token is not None:
            kept.acknowledge(read_token(wanted.token, lane.number).positions)
        stream = self._restored(kept, definition, wanted)
        at = write_token(lane.number, kept.acked, stream.definition_version)
        positions, gaps = await self._starting.find(lane, {"token": at})
        self.refuse_more(stream.id)
        self._learner.restore(stream, definition, kept.stored)
        self._begin(stream, lane, collection, positions)
        self._session.begun(stream, gaps, learned=kept.stored.learned is not None)

    def refuse_more(self, stream: str) -> None:
        """Raises ServiceError where the connection has the stream, or no place."""
        most = self._instance.settings.limits.max_streams_per_connection
        streams = self._session.streams
        if stream in streams:
            raise ServiceError(
                "duplicate_stream",
                f"{stream!r} runs on this connection: drop it or use another id.",
            )
        if len(streams) >= most:
            raise ServiceError(
                "too_many_streams",
                f"This connection has {most} streams, its most: open another.",
                details={"allowed": most},
            )

    async def _admit(self, stream: str) -> None:
        await self._instance.access.watch(self._caller)
        self.refuse_more(stream)

    async def _check_quota(self) -> None:
        """Persistent streams count whether anybody has them or not."""
        quota = await self._instance.access.quotas.get(self._caller.tenant)
        if quota.streams is None:
            return
        stored = await self._keeper.count(self._caller.tenant)
        quota.check_streams(self._beside_stored() + stored)

    def _beside_stored(self) -> int:
        """Streams of the tenant here that this region's hub does not keep."""
        home = self._keeper.homes.own
        return self._connections.beside(self._caller, home)

    async def _new(self, wanted: Watch) -> tuple[Stream, Definition]:
        window = wanted_window(wanted.best, wanted.window_seconds)
        if wanted.lease_seconds is not None and not wanted.persistent:
            raise ServiceError(
                "bad_request", "message.lease_seconds goes with `persistent`: true."
            )
        definition = await self._instance.definition(
            self._session.context, wanted.collection
        )
        vector = await self._instance.vector(
            definition, wanted.vector, wanted.text, "message.vector"
        )
        stream = Stream(
            wanted.stream,
            definition.key,
            definition.lane,
            vector,
            await self._threshold(wanted, definition, vector),
            wanted.definition_version,
            self._session,
            filter=wanted.filter,  # type: ignore[arg-type]  # parsed
            credit=wanted.credit,
            window=window,
            priority=wanted.priority,
        )
        return stream, definition

    async def _threshold(
        self, wanted: Watch, definition: Definition, vector: Any
    ) -> float:
        if wanted.threshold is not None:
            return wanted.threshold
        assert wanted.rate_per_hour is not None
        judged = await judge(
            self._instance,
            definition,
            vector,
            wanted.filter,  # type: ignore[arg-type]  # parsed
            _RATE_SECONDS,
        )
        return judged.threshold_for(wanted.rate_per_hour)

    async def _store(
        self,
        stream: Stream,
        definition: Definition,
        wanted: Watch,
        positions: Positions,
    ) -> None:
        """Makes it persistent; raises `quota_exceeded` and `home_away`."""
        first, threshold = self._learner.first(stream)
        stored = Stored(
            collection=definition.name,
            born=definition.at,
            definition_version=stream.definition_version,
            vector=written(first),
            text=wanted.text,
            threshold=threshold,
            filter=wanted.filter,
            best=wanted.best,
            window_seconds=wanted.window_seconds,
            priority=wanted.priority,
            lease_seconds=wanted.lease_seconds or LEASE_SECONDS,
        )
        stored = self._learner.stored(stream, stored)
        tenant, home = self._caller.tenant, self._keeper.homes.own
        owner = uuid.uuid4().hex
        kept = Kept(new_id(home), tenant, owner, stored, 1, dict(positions))
        quota = await self._instance.access.quotas.get(tenant)
        beside = self._beside_stored()
        most = None if quota.streams is None else quota.streams - beside
        token = write_token(stream.lane, positions, stream.definition_version)
        held = await self._keeper.make(kept, token, most)
        if kept.unfenced:
            quota.check_streams(held + beside)
        stream.kept = kept

    async def _taken(self, wanted: Attach) -> tuple[Kept, str]:
        """A stream that is ours, or will be once its home is back; where it stands."""
        tenant, owner = self._caller.tenant, uuid.uuid4().hex
        unfenced = self._unfenced(wanted, owner) if wanted.unfenced else None
        try:
            row = await self._keeper.take(tenant, wanted.id, owner)
        except ServiceError as error:
            if error.code != "home_away" or unfenced is None:
                raise
            return unfenced, wanted.token or ""
        stored = read_stored(orjson.loads(row["definition"]), "the stored definition")
        kept = Kept(wanted.id, tenant, owner, stored, row["epoch"])
        kept.defined = stored.definition_version
        return kept, row["acked"]

    def _unfenced(self, wanted: Attach, owner: str) -> Kept:
        if wanted.token is None or wanted.definition is None:
            raise ServiceError(
                "missing_key",
                "message: `unfenced` needs `token` and `definition`, for nobody else "
                "knows them while the home hub is away: send what the stream's last "
                "events held.",
            )
        stored = read_stored(wanted.definition, "message.definition")
        return Kept(wanted.id, self._caller.tenant, owner, stored, 0)

    async def _collection(self, kept: Kept) -> Definition:
        name = kept.stored.collection
        definition = await self._instance.definition(self._session.context, name)
        if definition.at != kept.stored.born:
            raise ServiceError(
                "unknown_collection",
                f"{kept.id} watched a collection {name!r} that was dropped; the one of "
                "today is another: drop the stream and watch anew.",
            )
        return definition

    def _restored(self, kept: Kept, definition: Definition, wanted: Attach) -> Stream:
        stored = kept.stored
        where = "message.definition.vector"
        return Stream(
            wanted.stream,
            definition.key,
            definition.lane,
            parse_vector(
                stored.vector, definition.dimension, where, definition.element
            ),
            stored.threshold,
            stored.definition_version,
            self._session,
            filter=stored.filter,  # type: ignore[arg-type]  # parsed
            credit=wanted.credit,
            window=wanted_window(stored.best, stored.window_seconds),
            priority=stored.priority,
            kept=kept,
        )

    def _begin(
        self,
        stream: Stream,
        lane: Lane,
        collection: Collection,
        positions: Positions | None,
    ) -> None:
        """From here it is a stream of the session; nothing is awaited."""
        self.refuse_more(stream.id)
        # A message by POST outlives its connection.
        if self._session.closed:
            raise ServiceError("unavailable", "The connection is closed: open another.")
        # Dropped while it was waited for.
        if lane.collections.get(stream.key) is not collection:
            raise ServiceError(
                "unknown_collection", f"{stream.collection} was dropped just now."
            )
        access = self._instance.access
        stream.held = not access.may_hold(self._caller, stream.priority)
        # "now" is the lane as it stands while nothing is awaited.
        live = positions is None and stream.open
        stream.positions = dict(lane.positions) if positions is None else positions
        self._session.streams[stream.id] = stream
        if live:
            collection.standing.add(stream)
        else:
            self._instance.lanes.replay(self._session, lane.number).add([stream])
            self._instance.ahead.begin(stream)
