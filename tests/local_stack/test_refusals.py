"""What the terminal shows of an error: words, what to do, and the exit status."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from deployments.common.errors import CandlecastError, InvalidRequest, NoCandles, PromotionRefused, Unavailable
from deployments.gateway.access.keys import KeyRing
from deployments.gateway.app import create_app
from deployments.gateway.models import Scope
from deployments.gateway.settings import GatewaySettings
from deployments.gateway.wire.problems import problem_response
from deployments.local_stack import processes
from deployments.local_stack.home import StackHome, StackState
from deployments.local_stack.refusals import told
from tests.fakes.gateway import VERSION, Fakes

ALIVE_WITHIN_S = 30.0


def answer_of(error: CandlecastError) -> httpx.Response:
    said = problem_response(error)
    request = httpx.Request("POST", "http://stack/api/v1/models/v1/promote")
    return httpx.Response(said.status_code, headers=dict(said.headers), content=bytes(said.body), request=request)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PromotionRefused("the gate said keep: no better"),
            "Promotion refused by the gate: the gate said keep: no bet",
        ),
        (PromotionRefused("the gate said keep: no better"), "--force"),
        (NoCandles("BTCUSD has no 5m candles"), "candlecast import"),
        (Unavailable(), "Not available now\ntry again"),
        (InvalidRequest("the request is malformed: horizon", (("horizon", "too long"),)), "  horizon: too long"),
    ],
)
def test_problem_is_told_in_words_with_what_to_do(error: CandlecastError, words: str) -> None:
    said = told(answer_of(error))
    assert words in said
    assert "{" not in said


@pytest.mark.parametrize(
    ("kind", "content"),
    [("text/html", b"<h1>Bad gateway</h1>"), ("application/problem+json", b"{"), ("application/problem+json", b"[]")],
)
def test_answer_of_somebody_else_is_told_as_it_is(kind: str, content: bytes) -> None:
    request = httpx.Request("GET", "http://stack/api/v1/models?limit=1")
    answer = httpx.Response(502, headers={"content-type": kind}, content=content, request=request)
    assert told(answer) == f"GET /api/v1/models?limit=1: 502 {content.decode()}"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Path]:
    """A home on which a stack runs whose graph is made of fakes."""
    home = StackHome(tmp_path / "home")
    home.admin_key_file.write_text(KeyRing(home.auth).create("stack", (Scope.ADMIN,)), encoding="utf-8")
    app = create_app(Fakes().services, GatewaySettings(home.root, tmp_path, version="1.2.3"))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        home.write_state(StackState("running", processes.owned("keeper", os.getpid()), url=url))
        await_alive(url)
        yield home.root
        server.should_exit = True
        thread.join(ALIVE_WITHIN_S)


def await_alive(url: str) -> None:
    deadline = time.monotonic() + ALIVE_WITHIN_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/livez").is_success:
                return
        except httpx.HTTPError:
            continue
    raise TimeoutError(f"{url} did not answer")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    ran = [sys.executable, "-m", "deployments.cli", *arguments]
    return subprocess.run(ran, capture_output=True, text=True, timeout=ALIVE_WITHIN_S * 4, check=False)


def test_refused_promotion_ends_with_status_1_and_says_how_to_overrule_the_gate(stack: Path) -> None:
    ended = command("models", "promote", VERSION, "--home", str(stack))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Promotion refused by the gate: it does not beat the champion" in ended.stderr
    assert "--force" in ended.stderr
    assert "{" not in ended.stderr


def test_version_that_looks_like_a_path_is_asked_for_as_a_version(stack: Path) -> None:
    ended = command("models", "promote", "../../login-links", "--home", str(stack))
    assert ended.returncode == 1
    assert "the version in the path may not contain a slash" in ended.stderr


def test_error_that_names_something_in_brackets_is_told_whole(tmp_path: Path) -> None:
    home = tmp_path / "[/red]home"
    ended = command("models", "list", "--home", str(home))
    assert ended.returncode == 1
    assert str(home) in ended.stderr
