"""What Google allows. Each figure with its source and the day it was read.

"Google, <page>" is a documentation page of cloud.google.com.
"""

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

CPU_CHOICES = (1, 2, 4, 6, 8)
"""vCPU of a Cloud Run instance. Google, Cloud Run CPU limits, 2026-11."""

MEMORY_BOUNDS_GIB = {1: (1, 4), 2: (1, 8), 4: (2, 16), 6: (4, 24), 8: (4, 32)}
"""GiB allowed for each vCPU count. Google, Cloud Run memory limits, 2026-11."""

ADDRESSES_PER_INSTANCE = 2
"""Direct VPC addresses in steady state. Google, Direct VPC egress, 2026-11."""

ADDRESSES_PER_INSTANCE_ROLLOUT = 4
"""The same while a new revision starts beside the old. Derived: twice the above."""

SUBNET_LONGEST_PREFIX = 26
"""Direct VPC egress wants a /26 or larger. Google, Direct VPC egress, 2026-11."""

SUBNET_RESERVED = 4
"""Addresses that Google keeps in every subnet. Google, VPC subnets, 2026-11."""

REPLICAS_PER_PRIMARY = 10
"""Read replicas of one Cloud SQL primary. Google, Cloud SQL quotas, 2026-11."""

PLUS_GIB_PER_VCPU = 8
"""Memory of a vCPU in the shapes of ENTERPRISE_PLUS. Google, Cloud SQL machine
series, 2026-11."""

PLUS_CPU_CHOICES = (2, 4, 8, 16, 32, 48, 64, 80, 96, 128)
"""vCPU of those shapes. Google, Cloud SQL machine series N2, 2026-11."""

SQL_NAME = 98
"""Length of `project:instance`. Google, Cloud SQL instance settings, 2026-11."""

ROLLOUT_FACTOR = 2
"""CPU and memory while a new revision starts beside the old. Google, 2026-11."""

QUOTA_CPU = "CpuAllocPerProjectRegion"
"""Quota of Cloud Run, in milli-vCPU a project and region."""

QUOTA_MEMORY = "MemAllocPerProjectRegion"
"""Quota of Cloud Run, in bytes a project and region."""

REQUESTS_PER_INSTANCE = 1000
"""Concurrent requests of an instance, not raisable; a WebSocket or gRPC stream holds
one for its life. Google, Cloud Run quotas, 2026-11."""

LONGEST_REQUEST_SECONDS = 3600
"""Longest life of a request, and so of a stream. Google, request timeout, 2026-11."""

INSTANCE_GIGABITS = 1.0
"""Bandwidth of an instance with Direct VPC, Gbit/s. Google, Cloud Run, 2026-11."""

QUOTA_GIB_PER_VCPU = 2
"""Memory granted beside a vCPU, as seen in eight projects' errors, 2026-11."""

FORWARDING_RULES = 4
"""HTTPS and HTTP, IPv4 and IPv6. Derived: `components/global_lb.py` declares them."""

ARMOR_RULES = 3
"""SQL injection, throttle, default. Derived: `components/_routes.py` has them."""

HOURS_PER_MONTH = 730
"""A billing month. Google, pricing calculator, 2026-11."""

RECONNECTS_PER_HOUR = 1.1
"""Handshakes of a connection: told to go away after 50 to 58 minutes. Assumption of
the service's contract."""

LOG_BYTES = 1024
"""One line of the load balancer's log. Assumption."""

REQUEST_BYTES = 1024
"""A request with its headers. Assumption."""

SERIES_PER_INSTANCE = 200
"""Time series that an instance shows. Assumption: about thirty metrics, histograms
among them."""

SCRAPE_SECONDS = 30
"""Interval of the collector beside the service (Google, Managed Prometheus, 2026-11),
and of a service that sends its metrics itself."""

IMAGE_GIB = 1
"""Container image with its layers' history. Assumption."""

BACKUP_SHARE = 1.0
"""Size of all kept backups over the disk. Assumption: they are incremental."""

WAL_FACTOR = 2.0
"""Bytes of write-ahead log for a byte of change. Assumption."""


@cache
def sources() -> Mapping[str, str]:
    """The sentence under each constant, by its name."""
    body = ast.parse(inspect.getsource(sys.modules[__name__])).body
    found: dict[str, str] = {}
    for statement, follower in pairwise(body):
        if not isinstance(statement, ast.Assign) or not isinstance(follower, ast.Expr):
            continue
        (target,) = statement.targets
        if isinstance(target, ast.Name) and isinstance(follower.value, ast.Constant):
            found[target.id] = " ".join(str(follower.value.value).split())
    return found
