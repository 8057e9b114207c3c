"""Errors as documents: every one of the tree, what the framework refuses, and what nobody expected."""

import re
from collections.abc import Iterator

import httpx
import pytest

from deployments.common.errors import (
    BadUpstream,
    CandlecastError,
    DatabaseUnavailable,
    InvalidRequest,
    NoCandles,
    RateLimited,
    TooLittleHistory,
    Unavailable,
    UpstreamTimeout,
)
from deployments.gateway.pages import PROBLEMS, problems_page
from deployments.gateway.wire.problems import problem_of, problem_response
from tests.fakes.gateway import Fakes

CANDLES = "/api/v1/data/BTCUSD"


def tree(root: type[CandlecastError] = CandlecastError) -> Iterator[type[CandlecastError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == CandlecastError.__module__:
            yield from tree(child)


def test_every_problem_type_has_a_heading_and_every_heading_a_type() -> None:
    text = PROBLEMS.read_text(encoding="utf-8")
    assert sorted(re.findall(r"^## (.+)$", text, re.MULTILINE)) == sorted({error.slug for error in tree()})


def test_heading_is_followed_by_the_status_and_title_of_its_type() -> None:
    text = PROBLEMS.read_text(encoding="utf-8")
    for error in tree():
        assert f"## {error.slug}\n\n**{error.status} {error.title}.**" in text or "slug" not in vars(error)


def test_page_holds_an_anchor_for_each_type() -> None:
    text = problems_page()
    for error in tree():
        assert f'id="{error.slug}"' in text


async def test_unknown_symbol_tells_all_five_members(reader: httpx.AsyncClient) -> None:
    answer = await reader.get("/api/v1/data/NOPE", headers={"X-Request-ID": "abc-1"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["type"] == "/docs/problems#unknown-symbol"
    assert document["title"] == "Unknown symbol"
    assert document["status"] == 404
    assert "NOPE" in document["detail"]
    assert document["instance"] == answer.headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NoCandles("none"), 404),
        (BadUpstream("nonsense"), 502),
        (Unavailable("busy", 2.2), 503),
        (DatabaseUnavailable("away", 5.0), 503),
        (UpstreamTimeout("slow"), 504),
    ],
)
async def test_error_of_a_context_keeps_its_status(
    error: CandlecastError, status: int, fakes: Fakes, reader: httpx.AsyncClient
) -> None:
    fakes.market_data.error = error
    answer = await reader.get(CANDLES)
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_unexpected_error_says_nothing_but_the_request_id(fakes: Fakes, reader: httpx.AsyncClient) -> None:
    fakes.market_data.error = RuntimeError("secret in /etc")
    answer = await reader.get(CANDLES)
    assert answer.status_code == 500
    assert answer.json()["type"] == "/docs/problems#internal-error"
    assert answer.json()["instance"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text


async def test_read_is_tried_again_once_when_a_replica_died(fakes: Fakes, reader: httpx.AsyncClient) -> None:
    fakes.market_data.error = Unavailable("gone")
    assert (await reader.get(CANDLES)).status_code == 503
    assert fakes.market_data.calls == 2


async def test_read_is_not_tried_again_when_the_database_is_away(fakes: Fakes, reader: httpx.AsyncClient) -> None:
    fakes.market_data.error = DatabaseUnavailable("away")
    assert (await reader.get(CANDLES)).status_code == 503
    assert fakes.market_data.calls == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nothing", 404, "unknown-route"),
        ("GET", "/api/v1/nothing", 404, "unknown-route"),
        ("GET", "/api/v1/data/", 404, "unknown-route"),
        ("PATCH", "/api/v1/managed-symbols/BTCUSD", 405, "method-not-allowed"),
        ("POST", "/livez", 405, "method-not-allowed"),
    ],
)
async def test_what_the_framework_refuses_is_a_problem_too(
    method: str, path: str, status: int, slug: str, reader: httpx.AsyncClient
) -> None:
    answer = await reader.request(method, path)
    assert answer.status_code == status
    assert answer.json()["type"].endswith(slug)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_above_the_limit_is_refused(chunked: bool, reader: httpx.AsyncClient) -> None:
    async def chunks() -> "Iterator[bytes]":  # type: ignore[misc]
        for _ in range(3):
            yield b"x" * 500_000

    body = chunks() if chunked else b"x" * 1_500_000
    headers = {"Content-Type": "application/json"}
    answer = await reader.post("/api/v1/analyze", content=body, headers=headers)
    assert answer.status_code == 413
    assert answer.json()["type"].endswith("body-too-large")
    assert "x-request-id" in answer.headers


def test_document_names_fields_and_missing_bars() -> None:
    assert problem_of(InvalidRequest("bad", (("k", "too big"),)))["fields"] == [{"field": "k", "problem": "too big"}]
    assert problem_of(TooLittleHistory("short", 3, 10)) | {"have": 3, "need": 10} == problem_of(
        TooLittleHistory("short", 3, 10)
    )


def test_retry_after_is_whole_seconds_and_never_zero() -> None:
    assert problem_response(RateLimited("slow down", 0.01)).headers["retry-after"] == "1"
    assert problem_response(RateLimited("slow down", 2.1)).headers["retry-after"] == "3"
