"""Entries of `localcloud/types/` against Google's provider."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

from localcloud.provider import diff
from localcloud.types import UnknownTypeError, lookup, registry, resource_types
from localcloud.types.base import ResourceType, google_body

TYPES = {kind.token: kind for kind in resource_types()}


def inputs_of(token: str) -> set[str]:
    """Input names of the genuine provider's class, as the engine writes them."""
    _, module, name = token.split(":")
    package = module.split("/")[0]
    module_object = importlib.import_module(f"pulumi_gcp.{package.lower()}")
    arguments = getattr(module_object, f"{name}Args")
    names = inspect.signature(arguments.__init__).parameters
    return {re.sub(r"_(\w)", lambda m: m[1].upper(), n) for n in names} - {"self"}


@pytest.mark.parametrize("token", sorted(TYPES))
def test_every_named_input_exists_in_the_genuine_provider(token: str) -> None:
    kind = TYPES[token]
    named = {path.split(".")[0].split("[")[0] for path in kind.replace | kind.drop}
    named |= {path.split(".")[0].split("[")[0] for path in kind.rename}
    optional = {"deletionPolicy", "deletionProtection", "matcher", "project"}
    assert named - inputs_of(token) - optional - {"**"} == set()


def test_an_unknown_type_fails_with_the_folder_to_add_it_to() -> None:
    with pytest.raises(UnknownTypeError, match="add an entry to localcloud/types/"):
        lookup("gcp:spanner/instance:Instance")


def test_every_entry_names_its_source() -> None:
    assert [k.token for k in registry().values() if len(k.source) < 10] == []


SERVICE = TYPES["gcp:cloudrunv2/service:Service"]


def test_a_service_body_has_googles_names() -> None:
    inputs = {
        "name": "a",
        "location": "us-west1",
        "deletionProtection": False,
        "template": {
            "containers": [
                {
                    "envs": [{"name": "A", "value": "1"}],
                    "ports": {"containerPort": 8080.0},
                }
            ]
        },
    }
    assert google_body(SERVICE, inputs) == {
        "template": {
            "containers": [
                {
                    "env": [{"name": "A", "value": "1"}],
                    "ports": [{"containerPort": 8080}],
                }
            ]
        }
    }
    assert "envs" in inputs["template"]["containers"][0], "the inputs were changed"


def test_a_moved_service_is_replaced_and_a_new_image_is_not() -> None:
    old = {"location": "us-west1", "template": {"containers": [{"image": "a"}]}}
    moved = diff.changes(SERVICE, old, {**old, "location": "us-east1"})
    assert [(c.path, c.replaces) for c in moved] == [("location", True)]
    image = {"template": {"containers": [{"image": "b"}]}}
    changed = diff.changes(SERVICE, old, {**old, **image})
    assert [(c.path, c.kind, c.replaces) for c in changed] == [
        ("template.containers[0].image", diff.Kind.UPDATE, False)
    ]


def test_lists_that_grow_and_shrink_are_adds_and_deletes() -> None:
    old, new = {"tags": ["a"]}, {"tags": ["a", "b"]}
    grown = diff.changes(SERVICE, old, new)
    assert [(c.path, c.kind) for c in grown] == [("tags[1]", diff.Kind.ADD)]
    shrunk = diff.changes(SERVICE, new, old)
    assert [(c.path, c.kind) for c in shrunk] == [("tags[1]", diff.Kind.DELETE)]


def test_a_subnet_grows_in_place_and_shrinks_by_replacement() -> None:
    kind = TYPES["gcp:compute/subnetwork:Subnetwork"]
    wide, narrow = {"ipCidrRange": "10.0.0.0/22"}, {"ipCidrRange": "10.0.0.0/24"}
    assert [c.replaces for c in diff.changes(kind, narrow, wide)] == [False]
    assert [c.replaces for c in diff.changes(kind, wide, narrow)] == [True]
    moved = {"ipCidrRange": "10.1.0.0/22"}
    assert [c.replaces for c in diff.changes(kind, narrow, moved)] == [True]


NEG = TYPES["gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup"]


def test_a_drawn_name_is_the_same_for_the_same_inputs_and_kept_in_updates() -> None:
    urn = "urn:pulumi:local::meridian::x$gcp:y::us-west1-neg"
    inputs = {"region": "us-west1", "cloudRun": {"service": "a"}}
    first = diff.named(NEG, urn, None, inputs)
    assert first["name"].startswith("us-west1-neg-")
    assert diff.named(NEG, urn, None, inputs) == first
    other = {"region": "us-west1", "cloudRun": {"service": "b"}}
    assert diff.named(NEG, urn, None, other)["name"] != first["name"]
    assert diff.named(NEG, urn, first, other)["name"] == first["name"]
    assert not diff.delete_before_replace(NEG, first)
    assert diff.delete_before_replace(NEG, {**inputs, "name": "fixed"})


def test_types_have_one_path_each() -> None:
    paths = [(k.api, k.path) for k in resource_types()]
    assert len(paths) == len(set(paths))
    assert all(isinstance(k, ResourceType) for k in resource_types())


CLUSTER = "gcp:redis/cluster:Cluster"
VALKEY = "gcp:memorystore/instance:Instance"
QUOTA = "gcp:cloudquota/sQuotaPreference:SQuotaPreference"
POLICY = "gcp:networkconnectivity/serviceConnectionPolicy:ServiceConnectionPolicy"
CHANGED = [
    # gcp.md 1.4: modes and zones replace, size does not.
    (CLUSTER, "authorizationMode", True),
    (CLUSTER, "transitEncryptionMode", True),
    (CLUSTER, "zoneDistributionConfig", True),
    (CLUSTER, "shardCount", False),
    (CLUSTER, "replicaCount", False),
    (CLUSTER, "deletionProtectionEnabled", False),
    (VALKEY, "authorizationMode", True),
    (VALKEY, "mode", True),
    (VALKEY, "shardCount", False),
    (VALKEY, "engineVersion", False),
    # gcp.md 2: a preference stays with its parent; clouddeploy by name and location.
    (QUOTA, "parent", True),
    (QUOTA, "quotaConfig", False),
    (POLICY, "serviceClass", True),
    (POLICY, "pscConfig", False),
    ("gcp:clouddeploy/deliveryPipeline:DeliveryPipeline", "location", True),
    ("gcp:clouddeploy/deliveryPipeline:DeliveryPipeline", "serialPipeline", False),
    ("gcp:clouddeploy/target:Target", "name", True),
    ("gcp:clouddeploy/target:Target", "requireApproval", False),
    ("gcp:clouddeploy/automation:Automation", "rules", False),
    ("gcp:pubsub/schema:Schema", "type", True),
    ("gcp:pubsub/schema:Schema", "definition", False),
]


@pytest.mark.parametrize(("token", "path", "replaces"), CHANGED)
def test_a_change_replaces_where_google_cannot_change_in_place(
    token: str, path: str, replaces: bool
) -> None:
    found = diff.changes(TYPES[token], {path: "a"}, {path: "b"})
    assert [(c.path, c.replaces) for c in found] == [(path, replaces)]
