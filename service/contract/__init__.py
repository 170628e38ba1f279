"""The public interface: operations, shapes, limits, errors and their schemas."""

from service.contract.errors import STATUS, ServiceError, error_body
from service.contract.fields import Limits
from service.contract.filters import Filter, parse_filter
from service.contract.operations import OPERATIONS, Operation
from service.contract.validate import parse, parse_metadata, parse_vector

__all__ = [
    "OPERATIONS",
    "STATUS",
    "Filter",
    "Limits",
    "Operation",
    "ServiceError",
    "error_body",
    "parse",
    "parse_filter",
    "parse_metadata",
    "parse_vector",
]
