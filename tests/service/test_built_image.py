"""The image as buildah builds it: what it holds, and that it serves with nothing but
what it holds, without rights and on a root that cannot be written.

Where there is no registry of images the first stage begins with a Debian that
mmdebstrap makes of the same packages.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import cyclonedx.schema
import jsonschema
import pytest
from referencing import Registry, Resource

from ops.image import CONTENTS, LAYOUT, TAG, Layout, is_record
from tests.service.asking import fresh
from tests.service.drivers import Http
from tests.service.servers import ROOT, free_port
from tests.service.test_image import entries
from tests.service.world import wait_listening

BASE = f"{TAG}-base"
MOST_BYTES = 200e6
RUNTIMES = ("runc", "crun")
NEEDED = ("buildah", "mmdebstrap")
OWN_CAS = "/usr/local/share/ca-certificates"
"""Where a machine keeps certificates of its own, which its registries may need."""
SHELLS = {"sh", "ash", "bash", "busybox", "dash", "zsh", "perl", "apt", "dpkg", "pip"}
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not all(map(shutil.which, NEEDED)),
        reason=f"building the image needs {' and '.join(NEEDED)}",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="building its base needs root"),
]


def run(*command, **options):
    environment = {"BUILDAH_ISOLATION": "chroot"} | dict(os.environ)
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """What `meridian image build` answers, and the image."""
    folder = tmp_path_factory.mktemp("base")
    hooks = [
        f"--customize-hook=copy-in {OWN_CAS} {os.path.dirname(OWN_CAS)}",
        '--customize-hook=chroot "$1" update-ca-certificates',
    ]
    kind = ["--variant=apt", "--include=ca-certificates"]
    run("mmdebstrap", "-q", *kind, *hooks, "bookworm", str(folder / "base.tar"))
    (folder / "Containerfile").write_text("FROM scratch\nADD base.tar /\n")
    run("buildah", "build", "-q", "-t", BASE, str(folder))
    (folder / "base.tar").unlink()
    try:
        command = [sys.executable, "-m", "ops", "image", "build", "--base", BASE]
        answer = json.loads(run(*command, "--json", cwd=ROOT))
    finally:
        run("buildah", "rmi", BASE)
    yield answer, Layout(LAYOUT)


def test_it_is_small_and_holds_no_shell(image):
    answer, layout = image
    assert answer["digest"] == layout.digest
    assert answer["pushed_bytes"] < MOST_BYTES
    assert 0 < answer["pushed_bytes"] < answer["unpacked_bytes"]
    members = [member for member, _ in layout.files()]
    programs = [m.name for m in members if m.isfile() and m.mode & 0o111]
    names = {name.rsplit("/", 1)[-1] for name in programs}
    assert "python3.11" in names
    assert not names & SHELLS
    assert not [m.name for m in members if m.isfile() and m.mode & 0o6000]
    kernels = {m.name for m in members if m.name.startswith("kernel/")}
    assert "kernel/portable.so" in kernels
    assert len([name for name in kernels if name.endswith(".so")]) > 1
    assert layout.config["User"] == "10001:10001"
    assert layout.config["Entrypoint"] == ["/venv/bin/python", "-m", "service"]


def test_what_is_compiled_counts_whatever_the_times_of_its_files(image):
    """Else all of it would be compiled at every start, on a root that keeps nothing."""
    _, layout = image
    kinds = Counter()
    for digest in layout.layers:
        with tarfile.open(layout.blob(digest)) as archive:
            for member in archive:
                if member.name.endswith(".pyc"):
                    head = archive.extractfile(member).read(8)
                    kinds[int.from_bytes(head[4:], "little")] += 1
    # PEP 552: by a hash of the source that is not compared.
    assert set(kinds) == {0b01}
    assert kinds[0b01] > 500


def test_what_it_holds_is_listed_as_scanners_read_it(image):
    _, layout = image
    document = json.loads(CONTENTS.read_text())
    schemas = os.path.join(os.path.dirname(cyclonedx.schema.__file__), "_res")

    def read(name):
        with open(os.path.join(schemas, f"{name}.SNAPSHOT.schema.json")) as file:
            return json.load(file)

    parts = [read(name) for name in ("spdx", "jsf-0.82", "cryptography-defs")]
    registry = Registry().with_resources(
        (part["$id"], Resource.from_contents(part)) for part in parts
    )
    whole = jsonschema.Draft7Validator(read("bom-1.6"), registry=registry)
    whole.validate(document)
    assert document["metadata"]["component"]["version"] == layout.digest
    listed = {c["purl"]: c["version"] for c in document["components"]}
    records = [member.name for member, _ in layout.files() if is_record(member.name)]
    assert len(listed) == len(records) > 40
    for package in ("libc6", "libssl3", "python3.11-minimal", "ca-certificates"):
        assert any(url.startswith(f"pkg:deb/debian/{package}@") for url in listed)
    for name, entry in entries(ROOT / "service" / "requirements.txt").items():
        plain, version = re.split(r"[;\s]", name)[0], entry.split("==")[1].split()[0]
        if "python_full_version >=" not in name:
            assert listed[f"pkg:pypi/{plain}@{version}"] == version


@pytest.fixture
def container(image, tmp_path, world):
    """The image run by a runtime of containers in a region: (port, pid, process)."""
    runtime = next(filter(shutil.which, RUNTIMES), None)
    if runtime is None:
        pytest.skip(f"no runtime of containers here: {' or '.join(RUNTIMES)}")
    _, layout = image
    unpack(layout, tmp_path / "root")
    port, asia = free_port(), world.regions["asia"]
    given = asia.environment("stream") | {"PORT": str(port), "PATH": "/usr/bin"}
    own = layout.config["Env"]
    config = specification(tmp_path, runtime)
    config["process"] |= {
        "terminal": False,
        "args": layout.config["Entrypoint"],
        "cwd": layout.config["WorkingDir"],
        "user": dict(zip(("uid", "gid"), (10001, 10001), strict=True)),
        "env": [*own, *(f"{k}={v}" for k, v in given.items())],
        "capabilities": dict.fromkeys(config["process"]["capabilities"], []),
        "noNewPrivileges": True,
    }
    config["root"] = {"path": str(tmp_path / "root"), "readonly": True}
    # Its neighbours are on this machine's loopback interface.
    linux, apart = config["linux"], ("network", "cgroup")
    linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] not in apart]
    config["mounts"] = [m for m in config["mounts"] if "/sys" not in m["destination"]]
    (tmp_path / "config.json").write_text(json.dumps(config))
    name, pid_file = f"meridian-{port}", tmp_path / "pid"
    start = [runtime, "run", "--bundle", str(tmp_path), "--pid-file", str(pid_file)]
    log_file = tmp_path / "log"
    with log_file.open("wb") as log:
        process = subprocess.Popen([*start, name], stdout=log, stderr=log)
    yield SimpleNamespace(port=port, pid_file=pid_file, process=process, log=log_file)
    if process.poll() is None:
        with contextlib.suppress(AssertionError):
            run(runtime, "kill", name, "KILL")
        process.wait(20)
    with contextlib.suppress(AssertionError):
        run(runtime, "delete", "--force", name)


def unpack(layout, folder):
    folder.mkdir()
    for digest in layout.layers:
        with tarfile.open(layout.blob(digest)) as archive:
            archive.extractall(folder, filter="fully_trusted")


def specification(folder, runtime):
    """What a runtime takes where nothing is said."""
    run(runtime, "spec", cwd=folder)
    return json.loads((folder / "config.json").read_text())


async def test_it_serves_without_rights_on_a_root_that_cannot_be_written(container):
    try:
        await wait_listening(container.port)
    except AssertionError:
        pytest.fail(container.log.read_text()[-2000:])
    driver = Http(SimpleNamespace(url=f"http://127.0.0.1:{container.port}"))
    name = fresh()
    await driver.call("create_collection", name=name, dimension=384)
    items = [{"id": i, "text": i} for i in ("the cat sat", "interest rates rise")]
    written = await driver.call("upsert", collection=name, items=items)
    found = await driver.call(
        "search",
        collection=name,
        text="a kitten",
        k=1,
        consistency="read_your_writes",
        token=written["token"],
    )
    assert found["hits"][0]["id"] == "the cat sat"
    await driver.call("drop_collection", collection=name)
    await driver.close()
    pid = int(container.pid_file.read_text())
    own = Path(f"/proc/{pid}")
    lines = (own / "status").read_text().splitlines()
    told = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert set(told["Uid"].split()) == set(told["Gid"].split()) == {"10001"}
    assert int(told["CapEff"], 16) == int(told["CapBnd"], 16) == 0
    mounts = [line.split() for line in (own / "mountinfo").read_text().splitlines()]
    assert [m[5].split(",")[0] for m in mounts if m[4] == "/"] == ["ro"]
    os.kill(pid, signal.SIGTERM)
    assert container.process.wait(10) == 0, container.log.read_text()[-2000:]
