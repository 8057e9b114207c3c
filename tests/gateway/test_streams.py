"""Streams of one thing: a training log until the run is over, an analysis until it is done."""

import json
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from deployments.common.errors import LlmUnavailable, UnknownSymbol
from deployments.forecasting.models import TrainingState
from tests.fakes.asgi import streamed
from tests.fakes.gateway import Fakes

STREAM = {"Accept": "text/event-stream"}


def told(text: str) -> list[tuple[str, object]]:
    """Return the events of a stream as (name, data)."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events


async def test_log_of_a_finished_run_ends_with_the_run(fakes: Fakes, reader: httpx.AsyncClient) -> None:
    fakes.forecaster.run = replace(fakes.forecaster.run, state=TrainingState.SUCCEEDED)
    (log_name, log), (done_name, done) = told((await reader.get("/api/v1/training/run-1/logs")).text)
    assert (log_name, log) == ("log", {"text": "step 1\nstep 2\n", "offset": 14})
    assert isinstance(done, dict)
    assert (done_name, done["state"]) == ("done", "succeeded")


async def test_log_of_a_running_run_grows(app: FastAPI, fakes: Fakes, keys: dict[str, str]) -> None:
    path, headers = "/api/v1/training/run-1/logs", {"X-API-Key": keys["read"]}
    async with streamed(app, "GET", path, headers) as stream:
        await stream.read_until("step 2")
        fakes.forecaster.log += "step 3\n"
        await stream.read_until("step 3")
        fakes.forecaster.run = replace(fakes.forecaster.run, state=TrainingState.FAILED)
        await stream.read_until("event: done")


async def test_log_of_an_unknown_run_is_a_problem_document(reader: httpx.AsyncClient) -> None:
    answer = await reader.get("/api/v1/training/run-2/logs")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_analysis_is_told_as_it_comes(fakes: Fakes, reader: httpx.AsyncClient) -> None:
    answer = await reader.post("/api/v1/analyze", json={"symbol": "BTCUSD"}, headers=STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [name for name, _ in told(answer.text)] == ["facts", "token", "done"]
    assert fakes.analyst.closed


async def test_analysis_refused_at_once_is_a_problem_document(fakes: Fakes, reader: httpx.AsyncClient) -> None:
    fakes.analyst.error = UnknownSymbol("no such symbol")
    answer = await reader.post("/api/v1/analyze", json={"symbol": "NOPE"}, headers=STREAM)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_analysis_that_breaks_ends_with_the_problem(fakes: Fakes, reader: httpx.AsyncClient) -> None:
    fakes.analyst.error, fakes.analyst.fails_after = LlmUnavailable("gone"), 2
    answer = await reader.post("/api/v1/analyze", json={"symbol": "BTCUSD"}, headers=STREAM)
    events = told(answer.text)
    assert [name for name, _ in events] == ["facts", "token", "error"]
    last = events[-1][1]
    assert isinstance(last, dict)
    assert (last["status"], last["instance"]) == (503, answer.headers["x-request-id"])


async def test_listener_that_leaves_ends_the_analysis(app: FastAPI, fakes: Fakes, keys: dict[str, str]) -> None:
    headers = {"X-API-Key": keys["read"], "Content-Type": "application/json", **STREAM}
    fakes.analyst.stuck = True
    async with streamed(app, "POST", "/api/v1/analyze", headers, b'{"symbol":"BTCUSD"}') as stream:
        await stream.read_until("event: facts")
    assert fakes.analyst.closed


@pytest.mark.parametrize("accept", ["application/json", "*/*", ""])
async def test_analysis_is_whole_where_no_stream_is_asked_for(accept: str, reader: httpx.AsyncClient) -> None:
    answer = await reader.post("/api/v1/analyze", json={"symbol": "BTCUSD"}, headers={"Accept": accept})
    assert answer.json()["check"] == {"numbers": 1, "resolved": 1, "removed": [], "repaired": 0}
