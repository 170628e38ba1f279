"""One anycast address in front of all regions."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_gcp import certificatemanager, compute

from components import _routes
from components._base import Block, Component, coerce, protection
from topology import names
from topology.catalogue import Durability

SCHEME = "EXTERNAL_MANAGED"


@dataclass(frozen=True, kw_only=True)
class GlobalLBArgs:
    """Edge of the platform."""

    prefix: str
    """Start of every physical name."""
    project: pulumi.Input[str]
    """Project, known once its APIs answer."""
    domain: str
    """Name that clients connect to."""
    backends: Mapping[str, pulumi.Input[str]]
    """Serverless NEG of each serving region."""
    grpc_backends: Mapping[str, pulumi.Input[str]] | None = None
    """The same of the services that speak gRPC; left out: it has no route."""
    requests_per_minute: int
    """Requests one address may send, in each region of the balancer."""
    retries: int
    """Further regions that a refused request is sent to."""
    ejection_errors: int
    """Gateway errors in a row after which a region is left out."""
    ejection_seconds: int
    """How long it is left out."""
    ejection_percent: int
    """Most regions that may be left out at a time."""
    log_sample: float
    """Share of requests that is logged."""
    stale_seconds: int
    """How long the CDN may serve an expired answer."""
    durability: Durability | None = None
    """Of the addresses; default GUARDED."""


class GlobalLB(Component):
    """Addresses, certificate, Armor, backend services and the URL map."""

    address: pulumi.Output[str]
    """IPv4 address of the platform."""
    address_v6: pulumi.Output[str]
    """IPv6 address of the platform."""
    url_map: pulumi.Output[str]
    """URL map that requests are routed by."""
    backend_service: pulumi.Output[str]
    """Backend service of the streams."""

    def __init__(
        self,
        name: str,
        args: GlobalLBArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("meridian:index:GlobalLB", name, opts)
        args = coerce(GlobalLBArgs, args)
        armor = self._armor(args)
        streams = self._backend(args, "streams", armor)
        cached = _routes.cdn_policy(args.stale_seconds)
        reads = self._backend(args, "reads", armor, enable_cdn=True, cdn_policy=cached)
        rpc = None
        if args.grpc_backends:
            rpc = self._backend(
                args, "grpc", armor, args.grpc_backends, protocol="HTTP2"
            )
        routes = self._url_map(args, streams, reads, rpc)
        secure = self._https(args, routes)
        plain = self._redirect(args)
        addresses = {
            version: self._address(args, version) for version in ("IPV4", "IPV6")
        }
        for version, address in addresses.items():
            self._rule(args, "https", "443", version, address, secure)
            self._rule(args, "http", "80", version, address, plain)
        self.address = addresses["IPV4"].address
        self.address_v6 = addresses["IPV6"].address
        self.url_map, self.backend_service = routes.id, streams.id
        self.finish()

    def _named(self, args: GlobalLBArgs, part: str) -> str:
        return names.global_name(args.prefix, part)

    def _armor(self, args: GlobalLBArgs) -> compute.SecurityPolicy:
        return compute.SecurityPolicy(
            f"{self.stem}-armor",
            project=args.project,
            name=self._named(args, "armor"),
            type="CLOUD_ARMOR",
            rules=_routes.armor_rules(args.requests_per_minute),
            opts=self.child(),
        )

    def _backend(
        self,
        args: GlobalLBArgs,
        part: str,
        armor: compute.SecurityPolicy,
        groups: Mapping[str, pulumi.Input[str]] | None = None,
        protocol: str = "HTTPS",
        **extra: Block,
    ) -> compute.BackendService:
        """No timeout, health check, port or balancing mode: serverless refuses them."""
        groups = groups or args.backends
        return compute.BackendService(
            f"{self.stem}-{part}",
            name=self._named(args, part),
            load_balancing_scheme=SCHEME,
            protocol=protocol,
            backends=[{"group": groups[key]} for key in sorted(groups)],
            security_policy=armor.id,
            outlier_detection=_routes.outlier_detection(
                args.ejection_errors, args.ejection_seconds, args.ejection_percent
            ),
            # Written over whatever a client sends under this name.
            custom_request_headers=[f"{names.CLIENT_ADDRESS}:{{client_ip_address}}"],
            log_config={"enable": True, "sample_rate": args.log_sample},
            opts=self.child(),
            **extra,
        )

    def _url_map(
        self,
        args: GlobalLBArgs,
        streams: compute.BackendService,
        reads: compute.BackendService,
        rpc: compute.BackendService | None,
    ) -> compute.URLMap:
        matcher = _routes.path_matcher(
            streams.id, reads.id, rpc.id if rpc else None, args.retries
        )
        return compute.URLMap(
            f"{self.stem}-routes",
            name=self._named(args, "routes"),
            default_service=streams.id,
            host_rules=[{"hosts": ["*"], "path_matcher": "paths"}],
            path_matchers=[matcher],
            opts=self.child(),
        )

    def _https(
        self, args: GlobalLBArgs, routes: compute.URLMap
    ) -> compute.TargetHttpsProxy:
        policy = compute.SSLPolicy(
            f"{self.stem}-tls",
            project=args.project,
            name=self._named(args, "tls"),
            # Google's defaults are TLS 1.0 and COMPATIBLE.
            min_tls_version="TLS_1_2",
            profile="MODERN",
            opts=self.child(),
        )
        return compute.TargetHttpsProxy(
            f"{self.stem}-https",
            name=self._named(args, "https"),
            url_map=routes.id,
            certificate_map=self._certificates(args).id.apply(
                lambda found: f"//certificatemanager.googleapis.com/{found}"
            ),
            ssl_policy=policy.id,
            quic_override="ENABLE",
            opts=self.child(),
        )

    def _certificates(self, args: GlobalLBArgs) -> certificatemanager.CertificateMap:
        """Authorised by DNS, so that issuing does not wait for traffic to arrive.

        Certificate and authorization carry a hash instead of a name: another domain
        replaces them, and the old ones serve until the map points to the new.
        """
        authorization = certificatemanager.DnsAuthorization(
            f"{self.stem}-dns",
            project=args.project,
            domain=args.domain,
            opts=self.child(),
        )
        certificate = certificatemanager.Certificate(
            f"{self.stem}-certificate",
            project=args.project,
            managed={
                "domains": [args.domain],
                "dns_authorizations": [authorization.id],
            },
            opts=self.child(),
        )
        table = certificatemanager.CertificateMap(
            f"{self.stem}-certificates",
            project=args.project,
            name=self._named(args, "certificates"),
            opts=self.child(),
        )
        certificatemanager.CertificateMapEntry(
            f"{self.stem}-certificate-entry",
            name=self._named(args, "certificate-entry"),
            map=table.name,
            hostname=args.domain,
            certificates=[certificate.id],
            opts=self.child(),
        )
        return table

    def _redirect(self, args: GlobalLBArgs) -> compute.TargetHttpProxy:
        """Plain HTTP answers with the secure address and nothing else."""
        routes = compute.URLMap(
            f"{self.stem}-redirect",
            project=args.project,
            name=self._named(args, "redirect"),
            default_url_redirect={
                "https_redirect": True,
                "redirect_response_code": "MOVED_PERMANENTLY_DEFAULT",
                "strip_query": False,
            },
            opts=self.child(),
        )
        return compute.TargetHttpProxy(
            f"{self.stem}-http",
            name=self._named(args, "http"),
            url_map=routes.id,
            opts=self.child(),
        )

    def _address(self, args: GlobalLBArgs, version: str) -> compute.GlobalAddress:
        """Clients and DNS hold on to it: guarded like data."""
        guard = protection(args.durability)
        return compute.GlobalAddress(
            f"{self.stem}-address-{version.lower()}",
            project=args.project,
            name=self._named(args, f"edge-{version.lower()}"),
            ip_version=version,
            deletion_policy=guard.policy,
            opts=self.child(**guard.options()),
        )

    def _rule(
        self,
        args: GlobalLBArgs,
        part: str,
        port: str,
        version: str,
        address: compute.GlobalAddress,
        proxy: compute.TargetHttpsProxy | compute.TargetHttpProxy,
    ) -> compute.GlobalForwardingRule:
        suffix = f"{part}-{version.lower()}"
        return compute.GlobalForwardingRule(
            f"{self.stem}-rule-{suffix}",
            name=self._named(args, suffix),
            load_balancing_scheme=SCHEME,
            ip_address=address.id,
            port_range=port,
            target=proxy.id,
            opts=self.child(),
        )
