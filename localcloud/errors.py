"""Errors that a person reads: each says what to do."""


class WorldError(Exception):
    """The local world cannot do what was asked."""
