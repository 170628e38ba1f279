"""What Google allows. Each figure with its source and the day it was read.

"Google, <page>" is a documentation page of cloud.google.com.
"""

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

SQL_NAME = 98
"""Length of `project:instance`. Google, Cloud SQL instance settings, 2026-11."""

ROLLOUT_FACTOR = 2
"""CPU and memory while a new revision starts beside the old. Google, 2026-11."""

QUOTA_CPU = "CpuAllocPerProjectRegion"
"""Quota of Cloud Run, in milli-vCPU a project and region."""

QUOTA_MEMORY = "MemAllocPerProjectRegion"
"""Quota of Cloud Run, in bytes a project and region."""
