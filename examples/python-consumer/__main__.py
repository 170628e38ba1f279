"""A score feed of another team: one region, on Meridian's components."""

import pulumi
import pulumi_gcp
from meridian import CacheTier, Network, Vault

PROJECT = pulumi.Config("gcp").require("project")
PREFIX, REGION = "score-feed", "europe-west3"

gcp = pulumi_gcp.Provider("gcp", project=PROJECT)
opts = pulumi.ResourceOptions(providers={"gcp": gcp})

network = Network("network", {"prefix": PREFIX, "services_range": "10.64.0.0/16"}, opts)
cache = CacheTier(
    "cache",
    {
        "region": REGION,
        "prefix": PREFIX,
        "memory_gib": 5,
        "version": "REDIS_7_2",
        "eviction": "noeviction",
        "transit_encryption": True,
        "network": network.private_network,
    },
    opts,
)
reader = pulumi_gcp.serviceaccount.Account(
    "reader", account_id="score-feed-reader", opts=pulumi.ResourceOptions(provider=gcp)
)
vault = Vault(
    "vault",
    {
        "bucket": f"{PROJECT}-scores",
        "region": REGION,
        "prefix": PREFIX,
        "keep_days": 30,
        "soft_delete_days": 7,
        "project": PROJECT,
        "stream_email": reader.email,
        "worker_email": reader.email,
        "durability": "sealed",
    },
    opts,
)

pulumi.export("cache", pulumi.Output.concat(cache.host, ":", cache.port))
pulumi.export("bucket", vault.bucket)
