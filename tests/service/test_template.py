"""The fork protocol, and processes started without it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.service.servers import ROOT, free_port
from tests.service.world import Template, wait_gone

# Nothing of it answers: a process starts, says so, and waits.
NOWHERE = {
    "MERIDIAN_ROLE": "stream",
    "MERIDIAN_ENVIRONMENT": "test",
    "MERIDIAN_REGION": "asia",
    "MERIDIAN_HUB": "asia",
    "MERIDIAN_HUBS": "asia",
    "DATABASE_PRIMARY": "127.0.0.1:1",
    "DATABASE_LOCAL": "127.0.0.1:1",
    "DATABASE_NAME": "x",
    "DATABASE_USER": "x",
    "REDIS_HOST": "127.0.0.1",
    "REDIS_PORT": "1",
    "PUBSUB_TOPIC_CHANGES": "a",
    "PUBSUB_TOPIC_REPAIRS": "b",
    "HOST": "127.0.0.1",
    "SECRET_OF_TEST": "hidden-value",
}


@pytest.fixture
def own():
    made = Template()
    yield made
    made.close()


def ask_health(port, probe="live"):
    url = f"http://127.0.0.1:{port}/health/{probe}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_held_child_does_nothing_until_it_may_begin(own, tmp_path):
    log = tmp_path / "log"
    answer = own.ask(NOWHERE, log, True, held=True)
    other = own.ask(NOWHERE, tmp_path / "other", True, held=True)
    time.sleep(0.5)
    assert log.read_bytes() == b""
    assert os.getsid(answer["pid"]) == answer["pid"]
    own.tell({"begin": answer["pid"]})
    assert ask_health(answer["port"])[0] == 200
    assert (tmp_path / "other").read_bytes() == b""
    # Asked twice, or for one that there is not, nothing happens.
    own.tell({"begin": answer["pid"]})
    own.tell({"begin": 1})
    own.tell({"begin": other["pid"]})
    assert ask_health(other["port"])[0] == 200


def test_held_children_end_with_their_template_and_begun_ones_do_not(own, tmp_path):
    begun, *held = (
        own.ask(NOWHERE, tmp_path / str(n), True, held=True) for n in range(3)
    )
    own.tell({"begin": begun["pid"]})
    assert ask_health(begun["port"])[0] == 200
    own.child.kill()
    own.child.wait(10)
    for child in held:
        wait_gone(child["pid"])
    assert ask_health(begun["port"])[0] == 200


def test_a_child_is_its_own_session_with_the_given_environment(own, tmp_path):
    log = tmp_path / "log"
    answer = own.ask(NOWHERE, log, True)
    pid = answer["pid"]
    assert ask_health(answer["port"]) == (
        200,
        {"region": "asia", "hub": "asia", "status": "ok"},
    )
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/fd/1") == str(log)
    assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
    assert json.loads(log.read_text().splitlines()[0])["message"] == "instance starts"
    assert "hidden-value" not in log.read_text()
    os.kill(pid, signal.SIGTERM)
    wait_gone(pid, 10)


def test_nothing_to_reach_means_not_ready_and_says_why(own, tmp_path):
    answer = own.ask(NOWHERE, tmp_path / "log", True)
    assert ask_health(answer["port"], "startup")[0] == 503
    status, body = ask_health(answer["port"], "ready")
    assert status == 503
    assert "redis is away" in body["reasons"]


def test_the_template_has_one_thread_and_children_share_nothing_open(own, tmp_path):
    assert len(list(Path(f"/proc/{own.child.pid}/task").iterdir())) == 1
    first = own.ask(NOWHERE, tmp_path / "1", True)
    second = own.ask(NOWHERE, tmp_path / "2", True)
    assert first["port"] != second["port"]
    ask_health(second["port"])
    os.kill(first["pid"], signal.SIGKILL)
    wait_gone(first["pid"])
    # Were the socket inherited, the port would still accept.
    with pytest.raises(OSError, match="refused"):
        ask_health(first["port"])
    assert ask_health(second["port"])[0] == 200


def test_a_bad_request_is_answered_and_the_template_lives(own, tmp_path):
    own.child.stdin.write('{"id": "b", "env": 3}\n')
    own.child.stdin.flush()
    answer = json.loads(own.child.stdout.readline())
    assert answer["id"] == "b"
    assert "error" in answer
    assert own.ask(NOWHERE, tmp_path / "log", True)["pid"]


def test_children_live_on_after_the_template(tmp_path):
    template = Template()
    answer = template.ask(NOWHERE, tmp_path / "log", True)
    template.child.stdin.close()
    template.child.wait(10)
    try:
        assert ask_health(answer["port"])[0] == 200
    finally:
        os.kill(answer["pid"], signal.SIGKILL)
        wait_gone(answer["pid"])


def test_a_missing_variable_is_named(own, tmp_path):
    lacking = {k: v for k, v in NOWHERE.items() if k != "MERIDIAN_HUB"}
    log = tmp_path / "log"
    wait_gone(own.ask(lacking, log, True)["pid"])
    assert "MERIDIAN_HUB is not set" in log.read_text()


@pytest.mark.parametrize("role", ["stream", "worker"])
def test_one_process_runs_from_its_environment_and_ends_on_sigterm(role, tmp_path):
    port = free_port()
    environment = {**NOWHERE, "MERIDIAN_ROLE": role, "PORT": str(port)}
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "service"],
            env={**environment, "PATH": os.environ["PATH"]},
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        until = time.monotonic() + 20
        while "message" not in (tmp_path / "log").read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        while role == "stream":
            # Who answers has its signals in hand; a message may come earlier.
            with contextlib.suppress(urllib.error.URLError):
                assert ask_health(port)[0] == 200
                break
            assert time.monotonic() < until
            time.sleep(0.05)
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == (0 if role == "stream" else -signal.SIGTERM)
    finally:
        child.kill()
        child.wait()
