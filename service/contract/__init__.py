"""The public interface: shapes, limits, errors and their JSON schema."""

from service.contract.errors import STATUS, ServiceError, error_body
from service.contract.shapes import (
    MAX_COLLECTION_NAME,
    MAX_ID,
    CreateCollection,
    Delete,
    DeleteItem,
    Drop,
    Embed,
    Limits,
    Ping,
    Search,
    Upsert,
    UpsertItem,
    Watch,
)
from service.contract.validate import parse, parse_metadata, parse_vector

__all__ = [
    "MAX_COLLECTION_NAME",
    "MAX_ID",
    "STATUS",
    "CreateCollection",
    "Delete",
    "DeleteItem",
    "Drop",
    "Embed",
    "Limits",
    "Ping",
    "Search",
    "ServiceError",
    "Upsert",
    "UpsertItem",
    "Watch",
    "error_body",
    "parse",
    "parse_metadata",
    "parse_vector",
]
