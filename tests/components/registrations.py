"""What the tests look for among the resources of a recorded world."""

from recording import Registration

STATEFUL = {
    "gcp:artifactregistry/repository:Repository",
    "gcp:redis/instance:Instance",
    "gcp:secretmanager/secret:Secret",
    "gcp:sql/databaseInstance:DatabaseInstance",
    "gcp:storage/bucket:Bucket",
}


def of(world: list[Registration], kind: str) -> list[Registration]:
    found = [r for r in world if r.token.endswith(f":{kind}")]
    assert found, kind
    return found


def services(world: list[Registration]) -> list[Registration]:
    found = [r for r in world if r.token == "gcp:cloudrunv2/service:Service"]
    assert len(found) >= 1
    return found
