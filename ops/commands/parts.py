"""Secrets and the image."""

from __future__ import annotations

import typer

from ops.commands.options import AsJson, Env, show

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
def image_build(as_json: AsJson = False) -> None:
    """Build the image (buildah) or take the digest of the service's tree."""
    from ops import image

    answer = image.build()
    if as_json:
        show(answer)
    else:
        print(f"{answer['digest']}\n{answer['note']}")
