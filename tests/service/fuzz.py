"""Random and mutated inputs over every transport.

    python -m tests.service.fuzz --count 1000000 --seed 7

First every operation is asked what the OpenAPI document allows and does not
(`fuzz_openapi`), and coverage guides inputs into every reader (`fuzz_guided`); then so
many inputs of our own come over every transport. None may make the service fail: no
500, no UNKNOWN or INTERNAL, no answer `internal`, no end of a process, and its memory
stays flat. The same seed gives the same inputs.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import aiohttp
import grpc
import orjson

from service.contract import OPERATIONS
from service.contract.proto import SERVICE, message_class, message_name
from service.contract.proto_json import message_of
from tests.service.fuzz_inputs import COLLECTION, DIMENSION, Inputs

WORKERS = 24
_FORBIDDEN = ("internal", "UNKNOWN", "INTERNAL")


class Fuzzer:
    """Sends inputs and keeps what must not be."""

    def __init__(self, http, rpc, seed):
        self.http, self.rpc = http, rpc
        self.inputs = Inputs(seed)
        self.seen = Counter()
        self.wrong = []
        self.surfaces = {
            self.over_http: 50,
            self.public: 4,
            self.raw_http: 8,
            self.over_websocket: 4,
            self.over_events: 4,
            self.push: 6,
            self.over_grpc: 20,
            self.raw_grpc: 6,
            self.grpc_stream: 2,
        }

    async def run(self, count):
        """Sends at least so many inputs."""
        connector = aiohttp.TCPConnector(limit=WORKERS * 2)
        timeout = aiohttp.ClientTimeout(total=30)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            grpc.aio.insecure_channel(self.rpc) as channel,
        ):
            self.session, self.channel = session, channel
            await self.create()
            await asyncio.gather(*(self.work(count) for _ in range(WORKERS)))

    async def create(self):
        """The collection that most inputs name; some of them drop it."""
        body = {"name": COLLECTION, "dimension": DIMENSION, "public": True}
        async with self.session.post(f"{self.http}/v1/collections", json=body):
            pass

    async def work(self, count):
        choices, weights = list(self.surfaces), list(self.surfaces.values())
        while sum(self.seen.values()) < count and len(self.wrong) < 10:
            (surface,) = self.inputs.random.choices(choices, weights)
            try:
                if self.inputs.random.random() < 0.02:
                    await self.create()
                await surface()
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                # A connection that the server closes is an answer too; its end is not.
                self.seen[f"{surface.__name__} {type(error).__name__}"] += 1
                await self.alive(surface.__name__, error)

    async def alive(self, surface, error):
        try:
            async with self.session.get(f"{self.http}/health/live") as answer:
                if answer.status != 200:
                    self.wrong.append((surface, repr(error), answer.status))
        except aiohttp.ClientError as gone:
            self.wrong.append((surface, repr(error), repr(gone)))

    def saw(self, surface, outcome, sent):
        self.seen[f"{surface} {outcome}"] += 1
        if str(outcome) in _FORBIDDEN or outcome == 500:
            self.wrong.append((surface, outcome, repr(sent)[:2000]))

    async def answered(self, surface, answer, sent):
        data = await answer.read()
        code = answer.status
        if code >= 400:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                code = orjson.loads(data)["error"]["code"]
        self.saw(surface, 500 if answer.status == 500 else code, sent)

    async def over_http(self):
        random_ = self.inputs.random
        operation = random_.choice(list(OPERATIONS.values()))
        request = self.inputs.request(operation.request)
        path = operation.path
        for name in ("collection", "id", "name"):
            hole = f"{{{name}}}"
            if hole in path:
                path = path.replace(hole, quote(str(request.pop(name, "x")), safe=""))
        method = operation.method
        if random_.random() < 0.03:
            method = random_.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"])
        body = json.dumps(request) if random_.random() < 0.97 else self.inputs.noise()
        url = aiohttp.client.URL(self.http + path, encoded=True)
        async with self.session.request(method, url, data=body) as answer:
            await self.answered("http", answer, (method, path, body))

    async def public(self):
        """Addresses that need no key: owners, signatures, items."""
        random_ = self.inputs.random
        signed = f"~{'a' * 12}.{random_.choice([0, 1, 2**31, 10**11])}.{'s' * 43}"
        owner = random_.choice(["default", "~system", signed, self.inputs.text()])
        name = random_.choice([COLLECTION, self.inputs.text()])
        item = random_.choice(["a", self.inputs.text(600), str(self.inputs.odd())])
        parts = [quote(part, safe="") for part in (owner, name, item)]
        path = "/v1/public/{}/collections/{}/items/{}".format(*parts)
        url = aiohttp.client.URL(self.http + path, encoded=True)
        tag = random_.choice(["*", '"1"', self.inputs.text().encode().hex()])
        async with self.session.get(url, headers={"if-none-match": tag}) as answer:
            if answer.status != 304:
                await self.answered("public", answer, path)

    async def raw_http(self):
        """Bytes on a connection: half a request, wrong lengths, noise."""
        random_ = self.inputs.random
        host, port = self.http.removeprefix("http://").split(":")
        heads = [
            b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
            b"POST /v1/collections HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n{}",
            b"POST /v1/embed HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{}",
            b"POST /v1/embed HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET /v1/watch HTTP/1.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\n\r\n",
            b"GET " + self.inputs.noise(30) + b" HTTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            self.inputs.noise(400),
        ]
        data = bytearray(random_.choice(heads))
        if data and random_.random() < 0.5:
            data[random_.randrange(len(data))] = random_.randrange(256)
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(bytes(data))
            await writer.drain()
            answer = await asyncio.wait_for(reader.read(200), 0.05)
            status = answer.split(b" ")[1] if answer.startswith(b"HTTP/1.1 ") else b"-"
            self.saw("raw", 500 if status == b"500" else status.decode(), bytes(data))
        except TimeoutError:
            self.saw("raw", "waits", bytes(data))
        finally:
            writer.close()

    async def over_websocket(self):
        """A dozen messages on one connection, some of them no JSON."""
        async with self.session.ws_connect(f"{self.http}/v1/watch") as socket:
            sent = []
            for _ in range(12):
                message = self.inputs.message()
                sent.append(message)
                noise = self.inputs.random.random() < 0.1
                data = self.inputs.noise() if noise else json.dumps(message).encode()
                await socket.send_bytes(data)
            await socket.send_json({"type": "ping"})
            async with asyncio.timeout(20):
                await self.hear(socket, sent)

    async def hear(self, socket, sent):
        async for message in socket:
            plain = orjson.loads(message.data)
            error = plain.get("error") or {}
            self.saw("websocket", error.get("code") or plain["type"], sent)
            if plain["type"] == "attached":
                self.inputs.attached = plain["id"]
            if plain["type"] == "heartbeat":
                return

    async def over_events(self):
        streams = [self.inputs.message() for _ in range(2)]
        if self.inputs.random.random() < 0.2:
            streams = self.inputs.odd()
        body = json.dumps({"streams": streams})
        async with self.session.post(f"{self.http}/v1/streams", data=body) as answer:
            if answer.status != 200:
                await self.answered("events", answer, body)
                return
            name = answer.headers["x-meridian-session"]
            told = json.dumps(self.inputs.message())
            url = f"{self.http}/v1/streams/{name}"
            async with self.session.post(url, data=told) as second:
                await self.answered("events", second, told)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.03):
                    async for line in answer.content:
                        if line.startswith(b"data: "):
                            plain = orjson.loads(line[6:])
                            error = plain.get("error") or {}
                            code = error.get("code") or plain["type"]
                            self.saw("events", code, body)

    async def push(self):
        operation = self.inputs.random.choice(["upsert", "patch", "delete"])
        request = self.inputs.request(OPERATIONS[operation].request)
        data = base64.b64encode(json.dumps(request).encode()).decode()
        attributes = [{"operation": operation}, {"collection": COLLECTION}]
        message = {
            "messageId": self.inputs.random.choice(["m1", self.inputs.odd()]),
            "data": self.inputs.random.choice([data, data, self.inputs.odd()]),
            "attributes": self.inputs.random.choice([*attributes, self.inputs.odd()]),
        }
        body = json.dumps({"message": message})
        async with self.session.post(f"{self.http}/v1/push", data=body) as answer:
            await self.answered("push", answer, body)

    async def over_grpc(self):
        """Messages that protobuf takes, whatever stands in them."""
        operation = self.inputs.random.choice(list(OPERATIONS.values()))
        message = message_class(message_name(operation.request))()
        request = self.inputs.request(operation.request)
        for name, value in request.items():
            with contextlib.suppress(Exception):
                message.MergeFrom(message_of(operation.request, {name: value}))
        await self.unary(operation.rpc, message.SerializeToString())

    async def raw_grpc(self):
        operation = self.inputs.random.choice(list(OPERATIONS.values()))
        await self.unary(operation.rpc, self.inputs.noise())

    async def unary(self, rpc, data):
        method = self.channel.unary_unary(f"/{SERVICE}/{rpc}")
        try:
            await method(data, timeout=30)
            self.saw("grpc", "OK", (rpc, data))
        except grpc.aio.AioRpcError as error:
            self.saw("grpc", error.code().name, (rpc, data, error.details()))

    async def grpc_stream(self):
        method = self.channel.stream_stream(f"/{SERVICE}/Watch")
        call = method(timeout=30)
        ping = message_class("ClientMessage")()
        ping.ping.SetInParent()
        try:
            for _ in range(6):
                await call.write(self.inputs.noise(60))
            await call.write(ping.SerializeToString())
            while True:
                data = await call.read()
                if data is grpc.aio.EOF:
                    break
                event = message_class("ServerMessage").FromString(data)
                which = event.WhichOneof("message")
                code = event.error.error.code if which == "error" else which
                self.saw("grpc stream", code, "noise")
                if which == "heartbeat":
                    break
        except grpc.aio.AioRpcError as error:
            self.saw("grpc stream", error.code().name, error.details())
        finally:
            call.cancel()


def resident(pid):
    """Resident memory of a process in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def main():
    """The command: a region of its own, real Postgres and Redis."""
    from tests.service.servers import init_postgres
    from tests.service.world import Template, World

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=100, help="of each operation")
    parser.add_argument("--guided", type=int, default=100_000, help="of each reader")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="meridian-fuzz-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        init_postgres(folder / "cluster")
        template = Template()
        world = World(folder, template, folder / "cluster", {"asia": "asia"}, {})
        try:
            sys.exit(asyncio.run(_fuzz(world, options)))
        finally:
            world.close()
            template.close()


async def _fuzz(world, options):
    await world.ready()
    asia = world.regions["asia"]
    failed = await _by_others(asia.url, options)
    fuzzer = Fuzzer(asia.url, f"127.0.0.1:{asia.grpc['port']}", options.seed)
    pids = {"http": asia.instance["pid"], "grpc": asia.grpc["pid"]}
    # What a first tenth allocates is the working set; only growth after it counts.
    await fuzzer.run(options.count // 10)
    before, started = {n: resident(p) for n, p in pids.items()}, time.monotonic()
    step = max(1, options.count // 20)
    for done in range(options.count // 10 + step, options.count + step, step):
        await fuzzer.run(min(done, options.count))
        sizes = {n: resident(p) for n, p in pids.items()}
        print(sum(fuzzer.seen.values()), sizes, f"{time.monotonic() - started:.0f} s")
    for outcome, count in sorted(fuzzer.seen.items()):
        print(f"{count:>9} {outcome}")
    after = {n: resident(p) for n, p in pids.items()}
    print("resident KiB after a tenth and at the end:", before, after)
    for wrong in fuzzer.wrong:
        print("WRONG", *wrong)
    return int(failed or bool(fuzzer.wrong))


async def _by_others(url, options):
    """Whether schemathesis or atheris found something."""
    from tests.service import fuzz_guided, fuzz_openapi

    report = await asyncio.to_thread(
        fuzz_openapi.run, url, options.seed, options.examples
    )
    fuzz_openapi.show(report)
    if why := fuzz_guided.missing():
        print(f"skipped: {why}")
        return bool(report.failures)
    names = fuzz_guided.targets()
    wrong = await asyncio.to_thread(
        fuzz_guided.run_all, names, options.guided, options.seed
    )
    return bool(wrong or report.failures)


if __name__ == "__main__":
    main()
