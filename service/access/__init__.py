"""Who may ask, how much, and what happens under overload.

    caller.py    who asks: tenant, scopes, tier
    records.py   API keys: made, rotated, revoked, looked up
    tokens.py    bearer tokens of OIDC issuers; jwks.py holds the issuers' keys
    tickets.py   single-use tickets for what a browser opens without headers
    gate.py      from a request's headers to a caller; address.py: whose address
    origins.py   web origins: CORS and the check of a WebSocket
    limiter.py   rates: tokens leased from Redis, spent here; bucket.py: arithmetic
    peers.py     how many instances share a rate while Redis is away
    quotas.py    what a tenant may hold
    overload.py  pressure by queue time, and who is refused first
    knobs.py     values that are turned at run time, for a while
    system.py    the items these records live in

Nothing here knows a route. The dispatcher asks the gate for a caller, the caller for
a scope, the limiter for tokens, the overload for room, in that order.
"""
