"""What an image holds, as scanners for known flaws read it: CycloneDX."""

from __future__ import annotations

from collections.abc import Iterable
from email.message import Message
from email.parser import BytesHeaderParser

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL


def written(name: str, version: str, records: Iterable[tuple[str, bytes]]) -> str:
    """The document of an image; records are (path, text) of its packages."""
    whole = Component(name=name, version=version, type=ComponentType.CONTAINER)
    whole.bom_ref.value = version
    bom = Bom()
    bom.metadata.component = whole
    for path, text in records:
        bom.components.add(_package(path, BytesHeaderParser().parsebytes(text)))
    bom.register_dependency(whole, bom.components)
    writer = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    return writer.output_as_string(indent=2)


def _package(path: str, said: Message) -> Component:
    """A package of Debian by its control fields, of Python by its metadata."""
    if path.endswith("METADATA"):
        name, version = said["Name"], said["Version"]
        url = PackageURL("pypi", None, name.lower().replace("_", "-"), version)
    else:
        name, version = said["Package"], said["Version"]
        where = {"arch": said["Architecture"]}
        url = PackageURL("deb", "debian", name, version, where)
    licence = said["License-Expression"]
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=url.to_string(),
        purl=url,
        licenses=[LicenseFactory().make_with_expression(licence)] if licence else None,
    )
