"""Whose address a request comes from, and how often it failed to authenticate."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNKNOWN = "unknown"
"""All peers without an address, as those of a Unix socket, together."""
FAILURES = 20
"""Failed authentications of an address at once, and in a minute."""
_SECONDS = 60.0
_MOST = 10_000
_PREFIX = 64


def read_networks(text: str) -> tuple[Network, ...]:
    """Networks from a list with commas; raises ValueError naming the wrong one."""
    found: list[Network] = []
    for part in (p.strip() for p in text.split(",")):
        if not part:
            continue
        try:
            found.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise ValueError(
                f"trusted proxies: {error}: send networks such as 10.0.0.0/8."
            ) from None
    return tuple(found)


def _address(text: str) -> Address | None:
    """An address that may carry a port, None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found


def client_address(
    headers: Iterable[tuple[bytes, bytes]],
    peer: str,
    trusted: tuple[Network, ...],
    named: bytes = b"",
) -> str:
    """The address of the client.

    `named` is a header that the load balancer, the only way in, writes over whatever
    a client sends. Where it is not set up, every proxy adds, on the right, whom it
    heard from: what a trusted one added is true, and what stands left of the first
    untrusted hop may be anybody's invention.
    """
    headers = tuple(headers)
    if named:
        told = [v for k, v in headers if k.lower() == named]
        if len(told) == 1 and (found := _address(told[0].decode("latin-1"))):
            return str(found)
    here = _address(peer)
    if here is None:
        return UNKNOWN
    if not _within(here, trusted):
        return str(here)
    chain = b",".join(v for k, v in headers if k.lower() == b"x-forwarded-for")
    for hop in reversed(chain.decode("latin-1").split(",")):
        found = _address(hop)
        if found is None:
            break
        here = found
        if not _within(here, trusted):
            break
    return str(here)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    # An address of the other family is in no network, without an error.
    return any(address in network for network in networks)


def _group(address: str) -> str:
    """One client has a whole /64 of IPv6 to draw addresses from."""
    found = _address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(found), _PREFIX), strict=False))
    return address


class Failures:
    """Failed authentications by address: FAILURES at once, then as many a minute."""

    def __init__(self, clock: Callable[[], float], most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def wait(self, address: str) -> float:
        """Seconds until the address may fail again, 0.0 when it may now."""
        left = self._now(_group(address))
        return 0.0 if left >= 1 else (1 - left) * _SECONDS / FAILURES

    def add(self, address: str) -> None:
        """Counts one failure."""
        group = _group(address)
        self._left[group] = (max(0.0, self._now(group) - 1), self._clock())
        self._left.move_to_end(group)
        while len(self._left) > self._most:
            self._left.popitem(last=False)

    def _now(self, group: str) -> float:
        left, at = self._left.get(group, (float(FAILURES), 0.0))
        passed = max(0.0, self._clock() - at)
        return min(float(FAILURES), left + passed * FAILURES / _SECONDS)
