"""The one network and the range that Google's managed services live in."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute, servicenetworking

from components._base import Component, after, coerce
from topology import names


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """One global network for all regions."""

    prefix: str
    """Start of every physical name."""
    services_range: str | None = None
    """IPv4 range lent to managed services by peering; left out where all of them are
    reached by Private Service Connect."""


class Network(Component):
    """Custom-mode network, private services access by choice; no NAT, no firewall."""

    network: pulumi.Output[str]
    """Id of the network, known once regions may be placed in it."""
    private_network: pulumi.Output[str]
    """The same id, known once managed services may be placed in it."""

    def __init__(
        self,
        name: str,
        args: NetworkArgs,
        opts: pulumi.ResourceOptions | None = None,
        apis: Sequence[pulumi.Resource] = (),
    ) -> None:
        super().__init__("meridian:index:Network", name, opts)
        args = coerce(NetworkArgs, args)
        network = compute.Network(
            f"{name}-vpc",
            name=names.network(args.prefix),
            auto_create_subnetworks=False,
            routing_mode="GLOBAL",
            opts=self.child(depends_on=apis),
        )
        ready: list[pulumi.Resource] = [network]
        if args.services_range is not None:
            ready = [self._peering(args.prefix, args.services_range, network)]
        self.network = after(network.id, [network])
        self.private_network = after(network.id, ready)
        self.finish()

    def _peering(
        self, prefix: str, services_range: str, network: compute.Network
    ) -> pulumi.CustomResource:
        """Private services access: a range, and the peering that lends it."""
        lent = ipaddress.IPv4Network(services_range)
        address = compute.GlobalAddress(
            f"{self.stem}-services",
            name=names.global_name(prefix, "services"),
            purpose="VPC_PEERING",
            address_type="INTERNAL",
            address=str(lent.network_address),
            prefix_length=lent.prefixlen,
            network=network.id,
            opts=self.child(),
        )
        # Google refuses to delete the peering while a deleted database is still held
        # back for days, so it is left behind instead.
        peering: pulumi.CustomResource = servicenetworking.Connection(
            f"{self.stem}-peering",
            network=network.id,
            service="servicenetworking.googleapis.com",
            reserved_peering_ranges=[address.name],
            update_on_creation_fail=True,
            deletion_policy="ABANDON",
            opts=self.child(),
        )
        return peering
