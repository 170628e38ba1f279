"""Every operation of the contract: one table that all transports read."""

from dataclasses import dataclass
from typing import Any

from service.contract import answers as a
from service.contract import requests as r

COLLECTION = "/v1/collections/{collection}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One question and its answer."""

    name: str
    """As WebSocket calls and metrics name it; in gRPC in upper camel case."""
    method: str
    path: str
    """Of HTTP; names in braces are fields of the request."""
    scope: str
    """What a caller must be allowed."""
    group: str | None
    """Group of rates; None: not limited."""
    request: type[Any]
    answer: type[Any]
    doc: str

    @property
    def rpc(self) -> str:
        """Name of the gRPC method."""
        return "".join(part.capitalize() for part in self.name.split("_"))


def _operation(
    name: str,
    route: str,
    access: str,
    request: type[Any],
    answer: type[Any],
    doc: str = "",
) -> Operation:
    method, path = route.split(" ")
    scope, _, group = access.partition("/")
    return Operation(
        name=name,
        method=method,
        path=path,
        scope=scope,
        group=group or None,
        request=request,
        answer=answer,
        doc=doc or (request.__doc__ or "").split("\n")[0],
    )


OPERATIONS: dict[str, Operation] = {
    o.name: o
    for o in (
        _operation(
            "create_collection",
            "POST /v1/collections",
            "manage/manage",
            r.CreateCollection,
            a.Collection,
        ),
        _operation(
            "list_collections",
            "GET /v1/collections",
            "read/read",
            r.Nothing,
            a.Collections,
            "All collections of the tenant.",
        ),
        _operation(
            "describe_collection",
            f"GET {COLLECTION}",
            "read/read",
            r.OneCollection,
            a.Collection,
            "One collection and how many items it has here.",
        ),
        _operation(
            "drop_collection",
            f"DELETE {COLLECTION}",
            "manage/manage",
            r.OneCollection,
            a.Done,
            "Drops a collection with its items, queries and streams; final.",
        ),
        _operation(
            "count_items", f"POST {COLLECTION}:count", "read/read", r.Count, a.Counted
        ),
        _operation(
            "upsert",
            f"POST {COLLECTION}/items:upsert",
            "write/write",
            r.Upsert,
            a.Writes,
        ),
        _operation(
            "patch", f"POST {COLLECTION}/items:patch", "write/write", r.Patch, a.Writes
        ),
        _operation(
            "delete",
            f"POST {COLLECTION}/items:delete",
            "write/write",
            r.Delete,
            a.Writes,
        ),
        _operation(
            "get_item",
            f"GET {COLLECTION}/items/{{id}}",
            "read/read",
            r.GetItem,
            a.Item,
            "One item as this region's database has it.",
        ),
        _operation(
            "get_items",
            f"POST {COLLECTION}/items:get",
            "read/read",
            r.GetItems,
            a.Items,
            "Those of the named items that are there.",
        ),
        _operation(
            "scroll", f"POST {COLLECTION}/items:scroll", "read/read", r.Scroll, a.Items
        ),
        _operation(
            "search", f"POST {COLLECTION}:search", "read/search", r.Search, a.Found
        ),
        _operation(
            "save_query",
            f"POST {COLLECTION}/queries",
            "write/write",
            r.SaveQuery,
            a.SavedQuery,
        ),
        _operation(
            "list_queries",
            f"GET {COLLECTION}/queries",
            "read/read",
            r.OneCollection,
            a.SavedQueries,
            "Saved searches of a collection.",
        ),
        _operation(
            "drop_query",
            f"DELETE {COLLECTION}/queries/{{name}}",
            "write/write",
            r.OneQuery,
            a.Done,
            "Drops a saved search.",
        ),
        _operation(
            "preview",
            f"POST {COLLECTION}:preview",
            "watch/search",
            r.Preview,
            a.Previewed,
        ),
        _operation(
            "explain",
            f"POST {COLLECTION}:explain",
            "watch/search",
            r.Explain,
            a.Explained,
        ),
        _operation("embed", "POST /v1/embed", "read/search", r.Embed, a.Embedded),
        _operation(
            "create_key",
            "POST /v1/keys",
            "keys/manage",
            r.CreateKey,
            a.NewKey,
        ),
        _operation(
            "list_keys",
            "POST /v1/keys:list",
            "keys/read",
            r.OneTenant,
            a.Keys,
            "A tenant's keys, without secrets.",
        ),
        _operation(
            "rotate_key", "POST /v1/keys:rotate", "keys/manage", r.RotateKey, a.NewKey
        ),
        _operation(
            "revoke_key",
            "POST /v1/keys:revoke",
            "keys/manage",
            r.OneKey,
            a.Done,
            "Ends a key in every region within 30 s.",
        ),
        _operation(
            "issue_ticket",
            "POST /v1/tickets",
            "watch/watch",
            r.Nothing,
            a.Ticket,
            "A single-use ticket for a browser's WebSocket or EventSource.",
        ),
        _operation(
            "list_streams",
            "GET /v1/persistent-streams",
            "watch/watch",
            r.Nothing,
            a.PersistentStreams,
            "The tenant's persistent streams, at most 1,000 of each hub.",
        ),
        _operation(
            "drop_stream",
            "POST /v1/persistent-streams:drop",
            "watch/watch",
            r.OneStream,
            a.Done,
            "Forgets a persistent stream; who has it is told within 10 s.",
        ),
        _operation(
            "show_quota",
            "POST /v1/quotas:show",
            "read/",
            r.OneTenant,
            a.QuotaShown,
            "What a tenant may hold.",
        ),
        _operation(
            "set_quota",
            "POST /v1/quotas",
            "operate/",
            r.SetQuota,
            a.QuotaShown,
        ),
        _operation(
            "list_knobs",
            "GET /v1/knobs",
            "operate/",
            r.Nothing,
            a.Free,
            "Values that are turned at run time.",
        ),
        _operation("turn_knob", "POST /v1/knobs", "operate/", r.TurnKnob, a.Free),
        _operation(
            "show_limits",
            "GET /v1/limits",
            "read/",
            r.Nothing,
            a.LimitsShown,
            "What one request may hold.",
        ),
        _operation(
            "show_config",
            "GET /v1/config",
            "operate/",
            r.Nothing,
            a.Free,
            "Settings of the instance that answered; secrets are masked.",
        ),
    )
}
"""By name."""
