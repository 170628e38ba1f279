"""Instances where everybody needs a key, and keys of tenants."""

import json

from service.access.gate import new_root_key

ROOT, ROOT_SHA256 = new_root_key()
RATES = {"free": {"search": [0.5, 5]}}


class Strict:
    """Two instances of a region, HTTP and gRPC, where everybody needs a key."""

    def __init__(self, region):
        environment = {
            "MERIDIAN_ACCESS": "required",
            "MERIDIAN_ROOT_KEY_SHA256": ROOT_SHA256,
            "MERIDIAN_RATES": json.dumps(RATES),
        }
        self.region = region
        self.instance = region.second_instance(**environment)
        self.log = region.folder / f"other-{len(region.others) - 1}.log"
        self.grpc = region.second_instance(**environment, MERIDIAN_PROTOCOL="grpc")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.instance['port']}"


def bearer(key):
    return {"authorization": f"Bearer {key}"}


async def key_of(root, tenant, **options):
    scopes = options.pop("scopes", ["read", "write", "watch", "manage", "keys"])
    made = await root.call("create_key", tenant=tenant, scopes=scopes, **options)
    return made["key"]
