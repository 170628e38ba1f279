"""The rules as a policy pack, run by the real engine. Slow: a preview of a program of
its own, and one of the whole production world.
"""

import datetime
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import analyzer_pb2

from ops import backend, engine, stack
from policy.pack.server import Pack
from policy.rules import by_id

PACK = Path(__file__).resolve().parents[2] / "policy" / "pack" / "meridian-policy"
PROGRAM = """
import pulumi, pulumi_gcp as gcp

google = gcp.Provider("google", project="example", default_labels={"a": "b"})
opts = pulumi.ResourceOptions(provider=google)
gcp.redis.Instance(
    "cache", memory_size_gb=1, region="us-central1", tier="BASIC",
    connect_mode="PRIVATE_SERVICE_ACCESS", auth_enabled=CHANGED,
    transit_encryption_mode="SERVER_AUTHENTICATION", deletion_policy="DELETE",
    opts=opts,
)
gcp.compute.Network("vpc", auto_create_subnetworks=False, opts=opts)
primary = gcp.sql.DatabaseInstance(
    "primary", region="us-central1", database_version="POSTGRES_17",
    settings={"edition": "ENTERPRISE", "tier": "db-custom-2-8192",
              "ip_configuration": {"ipv4_enabled": False,
                                   "ssl_mode": "ENCRYPTED_ONLY"}},
    deletion_policy="DELETE", opts=opts,
)
"""
REPLICA = """
gcp.sql.DatabaseInstance(
    "replica", region="us-central1", database_version="POSTGRES_17",
    master_instance_name=primary.name,
    settings={"edition": "ENTERPRISE", "tier": "db-custom-2-8192",
              "ip_configuration": {"ipv4_enabled": False,
                                   "ssl_mode": "ENCRYPTED_ONLY"}},
    deletion_policy="DELETE", opts=opts,
)
"""


def violations(events: Path) -> list[dict[str, Any]]:
    """Policy events of an engine's log."""
    lines = events.read_text(encoding="utf-8").splitlines()
    found = (json.loads(line).get("policyEvent") for line in lines if line)
    return [event for event in found if event]


@pytest.fixture
def project(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A project and a state of its own, with this clone's engine and provider."""
    settings = {"name": "example", "runtime": "python"}
    (tmp_path / "Pulumi.yaml").write_text(json.dumps(settings))
    state = tmp_path / "state"
    state.mkdir()
    values = engine.environment(stack.stack("prod"), offline=True)
    values.pop("PULUMI_OPTION_CONFIG_FILE")
    values.pop("PULUMI_CONFIG_PASSPHRASE_FILE")
    values |= {
        "PULUMI_BACKEND_URL": f"file://{state}",
        "PULUMI_CONFIG_PASSPHRASE": "example",
        "PULUMI_DEBUG_COMMANDS": "true",
        "MERIDIAN_QUIET_PROVIDER": "1",
    }
    env = {**os.environ, **values}
    command = ["pulumi", "stack", "init", "pilot", "--non-interactive"]
    subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True)
    return tmp_path, env


def preview(folder: Path, env: dict[str, str]) -> tuple[int, str, list[dict[str, Any]]]:
    log = folder / "events.jsonl"
    log.unlink(missing_ok=True)
    command = ["pulumi", "preview", "-s", "pilot", "--non-interactive"]
    command += ["--policy-pack", str(PACK), "--event-log", str(log)]
    done = subprocess.run(
        command, cwd=folder, env=env, check=False, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr, violations(log)


def told(events: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (e["policyName"], e["enforcementLevel"], e["resourceUrn"].rsplit("::", 1)[-1])
        for e in events
    }


ADVICE = {
    ("redis-two-zones", "advisory", "cache"),
    ("sql-passwordless", "advisory", "primary"),
}


def test_the_engine_stops_at_a_mandatory_rule_and_tells_an_advisory_one(
    project: tuple[Path, dict[str, str]],
) -> None:
    folder, env = project
    program = folder / "__main__.py"

    program.write_text(PROGRAM.replace("CHANGED", "True"))
    code, output, events = preview(folder, env)
    assert code == 0, output
    assert told(events) == ADVICE
    assert "Traceback" not in output

    program.write_text(PROGRAM.replace("CHANGED", "False"))
    code, output, events = preview(folder, env)
    assert code != 0
    assert ("redis-auth", "mandatory", "cache") in told(events)
    assert "cache: authEnabled is false" in output
    assert "set it to true and read the string from the API at run time" in output

    program.write_text(PROGRAM.replace("CHANGED", "True") + REPLICA)
    code, output, events = preview(folder, env)
    assert code != 0
    assert ("sql-replica-elsewhere", "mandatory", "replica") in told(events)


def test_a_preview_of_production_passes_the_pack() -> None:
    target = stack.stack("prod")
    backend.prepare(target)
    seen: list[dict[str, Any]] = []
    command = ["preview", "--policy-pack", str(PACK)]
    output = engine.run(target, command, offline=True, on_event=seen.append)
    assert [e["policyEvent"] for e in seen if "policyEvent" in e] == []
    assert "Traceback" not in output
    (summary,) = [e["summaryEvent"] for e in seen if "summaryEvent" in e]
    assert [name.partition("|")[0] for name in summary["PolicyPacks"]] == ["meridian"]
    assert summary["resourceChanges"]["create"] > 300


def test_the_pack_has_every_rule() -> None:
    policies = Pack().GetAnalyzerInfo(None, None).policies
    assert {p.name for p in policies} == set(by_id())
    assert all("Source: " in p.description for p in policies)


class Context:
    """Stands for gRPC's; keeps what it was aborted with."""

    def abort(self, code: Any, details: str) -> None:
        raise RuntimeError(f"{code.name}: {details}")


def exempted(folder: Path, until: str) -> Pack:
    file = folder / "exemptions" / "pilot.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        "exemptions:\n"
        "  - rule: redis-auth\n"
        "    place: cache\n"
        "    reason: the pilot's clients cannot log in yet\n"
        f"    until: {until}\n"
    )
    return Pack(folder)


def test_an_exemption_makes_a_mandatory_rule_advice_in_every_slice(
    tmp_path: Path,
) -> None:
    until = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(9)
    pack = exempted(tmp_path, str(until))
    properties = struct_pb2.Struct()
    properties.update({"authEnabled": False, "name": "cache"})
    request = analyzer_pb2.AnalyzeRequest(
        type="gcp:redis/instance:Instance", name="cache", properties=properties
    )

    def level() -> Any:
        found = pack.Analyze(request, Context()).diagnostics
        (auth,) = [d for d in found if d.policyName == "redis-auth"]
        return auth.enforcementLevel, f"exempted until {until}" in auth.message

    assert level() == (analyzer_pb2.MANDATORY, False)
    configure = analyzer_pb2.AnalyzerStackConfigureRequest(stack="pilot.us-east1")
    pack.ConfigureStack(configure, Context())
    assert level() == (analyzer_pb2.ADVISORY, True)


def test_an_ended_exemption_ends_the_preview(tmp_path: Path) -> None:
    pack = exempted(tmp_path, "2026-01-31")
    configure = analyzer_pb2.AnalyzerStackConfigureRequest(stack="pilot")
    with pytest.raises(RuntimeError, match="redis-auth ended on 2026-01-31"):
        pack.ConfigureStack(configure, Context())
