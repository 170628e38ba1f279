"""The list of what exists already: what is read, and what is refused."""

from pathlib import Path

import pytest

from topology import CatalogueError
from topology.adoption import Adoption, adoptions, file_of, text

BUCKET = Adoption(
    type="gcp:storage/bucket:Bucket", name="us-east1-snapshots", id="p-us-east1"
)


def listed(tmp_path: Path, content: str) -> Path:
    file = file_of(tmp_path, "prod")
    file.parent.mkdir()
    file.write_text(content)
    return file


def test_without_a_file_nothing_is_adopted(tmp_path: Path) -> None:
    assert adoptions(file_of(tmp_path, "prod")) == ()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    topic = Adoption(type="gcp:pubsub/topic:Topic", name="changes", id="projects/p/a")
    assert adoptions(listed(tmp_path, text([BUCKET, topic]))) == (BUCKET, topic)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("name:", "nane:", 2, "nane: unknown key: use type, name, id."),
        ("id: p-us-east1", "id: 7", 2, "id: 7 is no text: give what its provider"),
        ("id: p-us-east1", "id: ''", 2, "id: '' is no text"),
        (
            "gcp:storage/bucket:Bucket",
            "Bucket",
            2,
            "type: 'Bucket' is no type: give the resource's type, as `meridian",
        ),
        ("adoptions:", "adopted:", 1, "one key `adoptions` with a list is expected"),
        (text([BUCKET]).partition("\n")[2], "- a bucket\n", 2, "is no block"),
        ("adoptions:", "adoptions: [", 1, "not YAML"),
    ],
)
def test_a_bad_entry_is_named_with_its_place_and_remedy(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    content = text([BUCKET])
    assert old in content
    file = listed(tmp_path, content.replace(old, new, 1))
    with pytest.raises(CatalogueError) as caught:
        adoptions(file)
    assert f"stacks/catalogue/adoptions/prod.yaml:{line}:" in str(caught.value)
    assert message in str(caught.value)


def test_a_resource_is_adopted_once(tmp_path: Path) -> None:
    file = listed(tmp_path, text([BUCKET, BUCKET]))
    with pytest.raises(CatalogueError, match="us-east1-snapshots is listed twice"):
        adoptions(file)
