"""Secrets and the image."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.commands.options import AsJson, Env, console, show

group = typer.Typer()


secret_app = typer.Typer(no_args_is_help=True, help="Secret versions.")
image_app = typer.Typer(no_args_is_help=True, help="The service's image.")
group.add_typer(secret_app, name="secret")
group.add_typer(image_app, name="image")


@secret_app.command("put")
def secret_put(name: str, env: Env = "local") -> None:
    """Add a version from standard input. It never passes through Pulumi."""
    from ops import secret

    print(secret.put(env, name, secret.read_value()))


@image_app.command("build")
def image_build(
    base: Annotated[
        str | None,
        typer.Option(help="Image of Debian 12 to build on, instead of the pinned one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build the image (buildah) or take the digest of the service's tree.

    The digest is what a registry will have: put it under `image.digest`. The image
    lies in .meridian/image (OCI layout), what it holds in .meridian/image.cdx.json
    (CycloneDX), for a scanner of known flaws.
    """
    from ops import image

    answer = image.build(console(to_stderr=True), base)
    if as_json:
        show(answer)
        return
    print(answer["digest"])
    if answer["built"]:
        pushed, unpacked = (answer[k] / 1e6 for k in ("pushed_bytes", "unpacked_bytes"))
        print(f"{answer['layout']}: {pushed:.0f} MB to push, {unpacked:.0f} unpacked")
        print(f"what it holds (CycloneDX): {answer['contents']}")
    print(answer["note"])
