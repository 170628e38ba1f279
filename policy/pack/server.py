"""The engine's analyzer protocol: its questions, answered by the rules.

The engine asks about each resource as it is registered, and about all of them at the
end of a preview; what a rule says of relations is told then.
"""

from __future__ import annotations

import datetime
import os
import signal
import threading
from collections.abc import Iterable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2

from policy import exemptions
from policy.check import check
from policy.exemptions import Exemption, ExemptionError
from policy.record import Record, plain
from policy.rule import Level, Rule, Violation
from policy.rules import by_id, every

NAME = "meridian"
VERSION = "0.1.0"
CATALOGUES = Path(__file__).resolve().parents[2] / "stacks" / "catalogue"
MESSAGE_LIMIT = 400 * 2**20
"""The engine's own limit on one message, bytes."""
PARENT_POLL_SECONDS = 0.5
LEVELS = {
    Level.MANDATORY: analyzer_pb2.MANDATORY,
    Level.ADVISORY: analyzer_pb2.ADVISORY,
}


class Pack(analyzer_pb2_grpc.AnalyzerServicer):
    """The rules of `policy/`, less what the environment is exempted from."""

    def __init__(self, catalogues: Path = CATALOGUES) -> None:
        self._catalogues = catalogues
        self._exempted: tuple[Exemption, ...] = ()
        self._today = datetime.datetime.now(datetime.UTC).date()

    def Handshake(self, request: Any, context: Any) -> Any:
        return analyzer_pb2.AnalyzerHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetAnalyzerInfo(self, request: Any, context: Any) -> Any:
        return analyzer_pb2.AnalyzerInfo(
            name=NAME,
            displayName="Meridian",
            version=VERSION,
            policies=[_info(rule) for rule in every()],
        )

    def Configure(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def ConfigureStack(self, request: Any, context: Any) -> Any:
        """Read the exemptions; those that cannot be used end the preview."""
        # A slice's stack is called after its environment and itself.
        environment = request.stack.partition(".")[0]
        file = exemptions.file_of(self._catalogues, environment)
        try:
            found = exemptions.load(file, by_id(), self._today)
            exemptions.apply((), found, self._today)
        except ExemptionError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        self._exempted = found
        return analyzer_pb2.AnalyzerStackConfigureResponse()

    def Analyze(self, request: Any, context: Any) -> Any:
        rules = [rule for rule in every() if not rule.among]
        return self._judge(check([_record(request)], rules))

    def AnalyzeStack(self, request: Any, context: Any) -> Any:
        rules = [rule for rule in every() if rule.among]
        return self._judge(check(map(_record, request.resources), rules))

    def Remediate(self, request: Any, context: Any) -> Any:
        return analyzer_pb2.RemediateResponse()

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def _judge(self, violations: Iterable[Violation]) -> Any:
        found = exemptions.apply(violations, self._exempted, self._today)
        told = [_diagnostic(v, v.message, LEVELS[v.level]) for v in found.standing]
        told += [
            _diagnostic(
                violation,
                f"{violation.message} (exempted until {by.until}: {by.reason})",
                analyzer_pb2.ADVISORY,
            )
            for violation, by in found.excused
        ]
        return analyzer_pb2.AnalyzeResponse(diagnostics=told)


def _info(rule: Rule) -> Any:
    return analyzer_pb2.PolicyInfo(
        name=rule.id,
        displayName=rule.id,
        description=f"{rule.says} Source: {rule.source}.",
        enforcementLevel=LEVELS[rule.level],
        policy_type=(
            analyzer_pb2.POLICY_TYPE_STACK
            if rule.among
            else analyzer_pb2.POLICY_TYPE_RESOURCE
        ),
    )


def _diagnostic(violation: Violation, message: str, level: Any) -> Any:
    return analyzer_pb2.AnalyzeDiagnostic(
        policyName=violation.rule,
        policyPackName=NAME,
        policyPackVersion=VERSION,
        description=by_id()[violation.rule].says,
        message=message,
        enforcementLevel=level,
        urn=violation.urn,
    )


def _record(request: Any) -> Record:
    """A resource of the protocol; both of its messages have what is read here."""
    provider = request.provider
    reference = f"{provider.urn}::" if provider.urn else ""
    among = isinstance(request, analyzer_pb2.AnalyzerResource)
    depends = request.propertyDependencies if among else {}
    inputs = plain(json_format.MessageToDict(request.properties))
    return Record(
        urn=request.urn,
        token=request.type,
        name=request.name,
        inputs=inputs if isinstance(inputs, dict) else {},
        parent=request.parent if among else request.options.parent,
        provider=reference,
        depends_on=tuple(request.dependencies) if among else (),
        property_depends={key: tuple(value.urns) for key, value in depends.items()},
        protect=request.options.protect,
        ignore_changes=tuple(request.options.ignoreChanges),
    )


def serve() -> None:
    """Serve until the process that started this one is gone."""
    parent = os.getppid()
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=4),
        options=[
            ("grpc.max_receive_message_length", MESSAGE_LIMIT),
            ("grpc.max_send_message_length", MESSAGE_LIMIT),
        ],
    )
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server(Pack(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    # A killed engine tells nobody.
    while os.getppid() == parent and not ended.wait(PARENT_POLL_SECONDS):
        pass
    server.stop(grace=0)
