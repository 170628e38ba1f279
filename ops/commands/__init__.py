"""Commands of `meridian`, one group a module."""
