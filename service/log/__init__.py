"""The change log: Postgres schema, group commit, codec, order of changes."""
