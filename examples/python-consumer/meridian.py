"""The three classes of Meridian's package that this project uses.

`pulumi package add ../../components` writes such classes for all of them, where an
official CLI is installed; by hand each is a name and the outputs that are read.
"""

from typing import Any

import pulumi


class Remote(pulumi.ComponentResource):
    """A component that another process makes; annotations are its outputs."""

    def __init__(
        self, name: str, args: dict[str, Any], opts: pulumi.ResourceOptions
    ) -> None:
        kind = type(self)
        read: dict[str, Any] = dict.fromkeys(kind.__annotations__)
        token = f"meridian:index:{kind.__name__}"
        super().__init__(token, name, {**read, **args}, opts, remote=True)

    def translate_input_property(self, prop: str) -> str:
        return camel(prop)

    def translate_output_property(self, prop: str) -> str:
        return next((n for n in type(self).__annotations__ if camel(n) == prop), prop)


def camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


class Network(Remote):
    private_network: pulumi.Output[str]


class CacheTier(Remote):
    host: pulumi.Output[str]
    port: pulumi.Output[int]


class Vault(Remote):
    bucket: pulumi.Output[str]
