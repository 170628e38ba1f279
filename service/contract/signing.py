"""Addresses of items that caches may keep: public ones, and signed ones.

    /v1/public/{tenant}/collections/{collection}/items/{id}
    /v1/public/~{key id}.{expires}.{signature}/collections/{collection}/items/{id}

Whoever holds a key signs by himself: the signature is an HMAC under the SHA-256 of the
key's secret, which is all that the service keeps of it. A key that is revoked opens no
address any more.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from urllib.parse import quote

PREFIX = "/v1/public/"
MOST_SECONDS = 7 * 86_400
"""Longest life of a signed address."""
KEY_PREFIX = "mk_"
_KEY = re.compile(KEY_PREFIX + r"([A-Za-z0-9]{12})_([A-Za-z0-9_-]{43})")
_PATH = re.compile(
    r"/v1/public/([^/]{1,200})/collections/([a-z0-9][a-z0-9_-]{0,63})/items/"
    r"([^\x00-\x1f\x7f]{1,512})"
)
_SIGNED = re.compile(r"~([A-Za-z0-9]{12})\.([1-9][0-9]{0,11})\.([A-Za-z0-9_-]{43})")


def sha256(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def split_key(text: str) -> tuple[str, str] | None:
    """(id, secret) of a key's text, None when it has another form."""
    found = _KEY.fullmatch(text)
    return (found[1], found[2]) if found else None


@dataclass(frozen=True, slots=True)
class Address:
    """What an address below `PREFIX` names."""

    tenant: str
    """Empty of a signed address: the key says it."""
    collection: str
    item: str
    key: str = ""
    """Id of the key that signed."""
    expires: int = 0
    """Unix seconds."""
    signature: str = ""

    def signed_by(self, secret_sha256: str) -> bool:
        """Whether the signature is that of a secret of the key."""
        made = signature(
            secret_sha256, self.key, self.expires, self.collection, self.item
        )
        return hmac.compare_digest(made, self.signature)


def read_address(path: str) -> Address | None:
    """A decoded path; None of another form."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    who, collection, item = found.groups()
    if not who.startswith("~"):
        return Address(who, collection, item)
    signed = _SIGNED.fullmatch(who)
    if signed is None:
        return None
    return Address("", collection, item, signed[1], int(signed[2]), signed[3])


def public_path(tenant: str, collection: str, item: str) -> str:
    """Address of an item of a public collection."""
    name = quote(item, safe="")
    return f"{PREFIX}{tenant}/collections/{collection}/items/{name}"


def signed_path(key: str, collection: str, item: str, expires: int) -> str:
    """Address that opens an item until `expires` (Unix seconds).

    `key` is the key's text; raises ValueError of another form.
    """
    parts = split_key(key)
    if parts is None:
        raise ValueError("only an API key (mk_...) signs addresses")
    name, secret = parts
    made = signature(sha256(secret), name, expires, collection, item)
    return public_path(f"~{name}.{expires}.{made}", collection, item)


def signature(
    secret_sha256: str, key: str, expires: int, collection: str, item: str
) -> str:
    """HMAC-SHA256 as 43 characters; a collection's name holds no line end."""
    message = f"{key}\n{expires}\n{collection}\n{item}".encode()
    digest = hmac.new(secret_sha256.encode(), message, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
