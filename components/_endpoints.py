"""Private Service Connect: what a managed service's endpoint in a network needs."""

from collections.abc import Sequence

import pulumi

from components._base import Component
from topology import names


def connection_policy(
    parent: Component,
    service_class: str,
    prefix: str,
    region: str,
    network: pulumi.Input[str],
    subnets: Sequence[pulumi.Input[str]],
) -> pulumi.CustomResource:
    """Lets a service class take addresses of these subnets; it must be there before the
    service, and outlive it: the service depends on it.

    A region's network takes one policy a service class. Imported here: programs that
    use peering do not pay for it.
    """
    from pulumi_gcp import networkconnectivity

    policy: pulumi.CustomResource = networkconnectivity.ServiceConnectionPolicy(
        f"{parent.stem}-policy",
        name=names.global_name(prefix, f"{service_class}-{region}"),
        location=region,
        network=network,
        service_class=service_class,
        psc_config={"subnetworks": list(subnets)},
        opts=parent.child(),
    )
    return policy
