"""`meridian image build`: the image, what it holds, the digest that stacks take."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from ops import backend
from ops.errors import CommandError
from ops.paths import ROOT, WORK

TREE = "no buildah here: digest of the service's tree, which runs from the working tree"
TAG = "localhost/meridian-stream"
FILE = "service/Containerfile"
LAYOUT = WORK / "image"
"""The image as a registry would have it."""
CONTENTS = WORK / "image.cdx.json"


def build(console: Console, base: str | None = None) -> dict[str, Any]:
    """Build with buildah where it is installed, else take the tree's digest.

    `base`: instead of the pinned image that its first stage begins with, for instance
    a mirror's.
    """
    if not shutil.which("buildah"):
        return {"digest": backend.tree_digest(), "built": False, "note": TREE}
    given = ["--build-arg", f"BASE={base}"] if base else []
    before = _images()
    with console.status("Building the image: two minutes or more"):
        # Of one time, so that the same contents have the same digest.
        _run("buildah", "build", "--timestamp", "0", *given, "-t", TAG, "-f", FILE, ".")
    for old in before - _images():
        # It has no name any more, and nobody would find it again.
        _run("buildah", "rmi", old)
    with console.status("Packing it as a registry would have it"):
        shutil.rmtree(LAYOUT, ignore_errors=True)
        _run("buildah", "push", TAG, f"oci:{LAYOUT}")
        image = Layout(LAYOUT)
        CONTENTS.write_text(_contents(image))
    return {
        "digest": image.digest,
        "built": True,
        "pushed_bytes": image.pushed_bytes,
        "unpacked_bytes": image.unpacked_bytes(),
        "layout": str(LAYOUT.relative_to(ROOT)),
        "contents": str(CONTENTS.relative_to(ROOT)),
        "note": f"push it as it lies there: skopeo copy --preserve-digests "
        f"oci:{LAYOUT.relative_to(ROOT)} docker://REPOSITORY",
    }


class Layout:
    """An image in an OCI layout folder (image-spec v1)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
        self.digest: str = entry["digest"]
        self._manifest = json.loads(self.blob(self.digest).read_text())

    @property
    def layers(self) -> list[str]:
        """Digests of its archives, the lowest first."""
        return [layer["digest"] for layer in self._manifest["layers"]]

    @property
    def config(self) -> dict[str, Any]:
        """User, command and environment of its containers."""
        text = self.blob(self._manifest["config"]["digest"]).read_text()
        found: dict[str, Any] = json.loads(text)["config"]
        return found

    @property
    def pushed_bytes(self) -> int:
        """What a registry keeps and a machine fetches."""
        return sum(int(layer["size"]) for layer in self._manifest["layers"])

    def unpacked_bytes(self) -> int:
        """What its files take."""
        return sum(member.size for member, _ in self.files())

    def files(self) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
        """Its entries, those of a later layer last; contents of records alone."""
        for digest in self.layers:
            with tarfile.open(self.blob(digest), mode="r|gz") as archive:
                for member in archive:
                    read = is_record(member.name) and archive.extractfile(member)
                    yield member, read.read() if read else None

    def blob(self, digest: str) -> Path:
        """The file of a digest."""
        return self.folder / "blobs" / digest.replace(":", "/")


def is_record(name: str) -> bool:
    """Whether a file says what is installed: a package of Debian or of Python."""
    debian = name.startswith("var/lib/dpkg/status.d/")
    return debian or name.endswith(".dist-info/METADATA")


def _contents(image: Layout) -> str:
    """The packages in an image, as CycloneDX 1.6 in JSON."""
    # Imported here: it takes longer than most commands.
    from ops import contents

    records = [(file.name, data) for file, data in image.files() if data is not None]
    return contents.written(TAG.rsplit("/", 1)[-1], image.digest, records)


def _images() -> set[str]:
    """Ids of the images of our name."""
    return set(_run("buildah", "images", "-q", "--filter", f"reference={TAG}").split())


def _run(*command: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CommandError(f"{command[0]} {command[1]}: {done.stderr.strip()[-2000:]}")
    return done.stdout
