"""The image registry and, only where asked, the image that Docker builds."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_gcp import artifactregistry

from components._base import Component, Protection, coerce, protection
from topology.catalogue import Durability


@dataclass(frozen=True, kw_only=True)
class ServiceImageArgs:
    """Where the service's image is kept and which one runs."""

    repository: str
    """Artifact Registry repository."""
    location: str
    """Region or multi-region of the repository."""
    image: str
    """Name of the image inside the repository."""
    digest: str
    """Digest to run: a tag would never be rolled out again."""
    build_context: str | None = None
    """Folder that `service/Containerfile` is built from; given only when `up` shall
    build the image."""
    durability: Durability | None = None
    """Default GUARDED."""


class ServiceImage(Component):
    """Docker repository; the reference that services run is always by digest."""

    reference: pulumi.Output[str]
    """`registry/repository/image@sha256:...`."""

    def __init__(
        self,
        name: str,
        args: ServiceImageArgs,
        opts: pulumi.ResourceOptions | None = None,
        apis: Sequence[pulumi.Resource] = (),
    ) -> None:
        super().__init__("meridian:index:ServiceImage", name, opts)
        args = coerce(ServiceImageArgs, args)
        repository = self._repository(args, protection(args.durability), apis)
        if args.build_context is None:
            self.reference = repository.registry_uri.apply(
                lambda uri: f"{uri}/{args.image}@{args.digest}"
            )
        else:
            self.reference = self._build(args, repository, args.build_context)
        self.finish()

    def _repository(
        self,
        args: ServiceImageArgs,
        guard: Protection,
        apis: Sequence[pulumi.Resource],
    ) -> artifactregistry.Repository:
        return artifactregistry.Repository(
            f"{self.stem}-repository",
            repository_id=args.repository,
            location=args.location,
            format="DOCKER",
            docker_config={"immutable_tags": True},
            deletion_policy=guard.policy,
            opts=self.child(depends_on=apis, **guard.options()),
        )

    def _build(
        self,
        args: ServiceImageArgs,
        repository: artifactregistry.Repository,
        context: str,
    ) -> pulumi.Output[str]:
        """Imported here: no other stack pays for the Docker provider."""
        import pulumi_docker

        docker = pulumi_docker.Provider(f"{self.stem}-docker", opts=self.child())
        image = pulumi_docker.Image(
            f"{self.stem}-image",
            image_name=repository.registry_uri.apply(lambda uri: f"{uri}/{args.image}"),
            build={
                "context": context,
                "dockerfile": f"{context}/service/Containerfile",
            },
            build_on_preview=False,
            # Default providers are off, so this one is named as well.
            opts=self.child(provider=docker),
        )
        digest: pulumi.Output[str] = image.repo_digest
        return digest
