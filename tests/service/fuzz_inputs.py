"""Requests that are nearly right, wrong, or noise; the same seed, the same inputs."""

import base64
import json
import random
import string

from service.contract import OPERATIONS
from service.contract.messages import TYPES
from service.contract.proto import kinds
from service.log.change import TENANT, lane_of

COLLECTION = "fuzz"
DIMENSION = 4
LANE = lane_of(TENANT, COLLECTION)
_ODD = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63,
    -(2**64),
    1e308,
    -0.0,
    1.5,
    "",
    " ",
    "\x00",
    "\ud7ff",
    "a" * 600,
    "ü/../%00",
    "${x}",
    "' OR 1=1",
    "now",
    [],
    {},
    [[]],
    {"": None},
    [None] * 3,
    {"field": "a", "eq": []},
)


class Inputs:
    """Requests that are nearly right, wrong, or noise; by seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.attached = f"asia.{'1' * 32}"
        """A persistent stream that there is, once one was told of."""

    def text(self, most=12):
        alphabet = string.ascii_lowercase + "-_~/:%äé€\x00 "
        size = self.random.randrange(most)
        return "".join(self.random.choices(alphabet, k=size))

    def odd(self):
        return self.random.choice(_ODD)

    def noise(self, most=200):
        return self.random.randbytes(self.random.randrange(most))

    def vector(self):
        kind = self.random.randrange(8)
        numbers = [self.random.uniform(-1, 1) for _ in range(DIMENSION)]
        if kind < 4:
            return numbers
        if kind == 4:
            data = self.random.randbytes(4 * DIMENSION)
            return base64.b64encode(data).decode()
        if kind == 5:
            return base64.b64encode(self.random.randbytes(2 * DIMENSION)).decode()
        if kind == 6:
            return numbers[: self.random.randrange(DIMENSION)]
        return [self.odd() for _ in range(DIMENSION)]

    def filter(self, depth=0):
        kind = self.random.randrange(8 if depth < 10 else 5)
        field = self.random.choice(["a", "a.b", "", "x" * 300, self.text()])
        if kind == 0:
            return {"field": field, "eq": self.odd()}
        if kind == 1:
            return {"field": field, "in": [self.odd() for _ in range(3)]}
        if kind == 2:
            bounds = self.random.choice(["gt", "gte", "lt", "lte", "no"])
            return {"field": field, "range": {bounds: self.odd()}}
        if kind == 3:
            return {"field": field, "exists": self.odd()}
        if kind == 4:
            return self.odd()
        if kind == 5:
            return {"not": self.filter(depth + 1)}
        name = "and" if kind == 6 else "or"
        return {name: [self.filter(depth + 1) for _ in range(self.random.randrange(4))]}

    def value(self, name, kind):
        """A value for a field, mostly of the right kind."""
        if self.random.random() < 0.15:
            return self.odd()
        if name == "collection":
            return self.random.choice([COLLECTION] * 8 + ["nowhere", self.text()])
        if kind.what == "vector":
            return [self.vector() for _ in range(3)] if kind.repeated else self.vector()
        if kind.what == "origin":
            return self.random.choice(
                ["now", {"token": self.text(40)}, {"seconds": self.odd()}, self.odd()]
            )
        if kind.what == "json":
            if name == "definition":
                return self.stored()
            return self.filter() if name == "filter" else {"a": self.odd(), "b": [1]}
        if kind.what == "shape":
            return [self.request(kind.of) for _ in range(self.random.randrange(4))]
        made = self.scalar(name, kind.of)
        return [made] * self.random.randrange(4) if kind.repeated else made

    def stored(self):
        """A definition of a persistent stream as a client sends it back."""
        made = {"collection": COLLECTION, "born": 1, "definition_version": 1}
        made |= {"vector": base64.b64encode(bytes(16)).decode(), "threshold": 0.5}
        made[self.random.choice([*made, "learned", "filter", "best"])] = self.odd()
        return made

    def token(self):
        """A token that nobody gave: it may name what was never written."""
        numbers = [0, 2, 2**40, 2**63, 10**30, -1, 1.5, "2", None]
        origin, seq = self.random.choice(["asia", "x"]), self.random.choice(numbers)
        lane = self.random.choice([LANE, LANE, 3])
        inside = json.dumps([1, lane, {origin: [1, seq]}, 1])
        return base64.urlsafe_b64encode(inside.encode()).decode()

    def scalar(self, name, kind):
        if name == "id" and self.random.random() < 0.4:
            return self.random.choice([self.attached, f"asia.{'0' * 32}", "asia."])
        if name == "token" and self.random.random() < 0.3:
            return self.token()
        if kind is str:
            words = [f"i{self.random.randrange(50)}", "a", "local", self.text()]
            return self.random.choice([*words, "read_your_writes"])
        if kind is bool:
            return self.random.random() < 0.5
        if kind is int:
            return self.random.choice([0, 1, 5, 1000, 1001, -5, 2**40])
        return self.random.uniform(-2, 2)

    def request(self, shape):
        """A request of a shape; fields are left out, odd, or added."""
        made = {}
        for name, kind in kinds(shape).items():
            likely = 0.35 if kind.optional else 0.95
            if self.random.random() < likely:
                made[name.rstrip("_")] = self.value(name, kind)
        if self.random.random() < 0.05:
            made[self.text()] = self.odd()
        return made

    def persistent(self):
        """A persistent stream as it should be; now and then a field of it is odd."""
        made = {"type": "watch", "stream": "s", "collection": COLLECTION}
        made |= {"vector": [1, 0, 0, 0], "threshold": 0.5, "persistent": True}
        made["lease_seconds"] = self.random.choice([60, 3600, 59])
        if self.random.random() < 0.3:
            made[self.random.choice(list(made))] = self.odd()
        return made

    def message(self):
        """A message of a connection."""
        kind = self.random.choice([*TYPES, "nothing"])
        if kind == "nothing":
            return self.random.choice([self.odd(), {"type": self.odd()}])
        if kind == "call":
            name = self.random.choice([*OPERATIONS, self.text()])
            shape = OPERATIONS[name].request if name in OPERATIONS else None
            params = self.request(shape) if shape else self.odd()
            number = self.random.choice(["1", self.odd()])
            call = {"id": number, "operation": name, "params": params}
            return {"type": "call"} | call
        if kind == "watch" and self.random.random() < 0.3:
            return self.persistent()
        stream = self.random.choice(["s", "t", self.odd()])
        return {"type": kind} | self.request(TYPES[kind]) | {"stream": stream}
