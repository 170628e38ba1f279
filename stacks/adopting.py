"""Adoption in a program: listed resources are imported where they were made before."""

from pathlib import Path

import pulumi

from topology.adoption import Adoption, adoptions, file_of


def adopt(catalogues: Path, environment: str) -> None:
    """From here on, a resource that the environment's list names is imported."""
    listed = {(each.type, each.name): each for each in _listed(catalogues, environment)}
    if not listed:
        return

    def transform(
        args: pulumi.ResourceTransformationArgs,
    ) -> pulumi.ResourceTransformationResult | None:
        found = listed.get((args.type_, args.name))
        if found is None:
            return None
        more = pulumi.ResourceOptions(import_=found.id)
        options = pulumi.ResourceOptions.merge(args.opts, more)
        return pulumi.ResourceTransformationResult(props=args.props, opts=options)

    pulumi.runtime.register_stack_transformation(transform)


def _listed(catalogues: Path, environment: str) -> tuple[Adoption, ...]:
    return adoptions(file_of(catalogues, environment))
