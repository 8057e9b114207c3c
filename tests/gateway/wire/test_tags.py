"""Reads of what has not changed: whoever has the answer is told so instead of being sent it again."""

import json
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from deployments.gateway.wire.kept_answers import FRESH_S
from deployments.gateway.wire.tags import LAG_STEP_S
from tests.fakes.asgi import Aged
from tests.fakes.gateway import ANALYSIS, RUN, VERSION, Fakes

READS = (
    "/api/v1/symbols",
    "/api/v1/managed-symbols",
    "/api/v1/managed-symbols/BTCUSD",
    "/api/v1/data/BTCUSD",
    "/api/v1/data/BTCUSD/latest",
    "/api/v1/data/batch?symbols=BTCUSD,NOPE,x",
    "/api/v1/data/BTCUSD/quality",
    "/api/v1/forecast/BTCUSD",
    "/api/v1/forecast/batch?symbols=BTCUSD,NOPE",
    "/api/v1/forecast/BTCUSD/history",
    "/api/v1/forecast/BTCUSD/accuracy",
    "/api/v1/accuracy",
    "/api/v1/models",
    f"/api/v1/models/{VERSION}",
    "/api/v1/training",
    f"/api/v1/training/{RUN}",
    "/api/v1/knowledge/search?q=what",
    "/api/v1/analogues/BTCUSD",
    "/api/v1/sync/status",
    "/api/v1/analyses",
    f"/api/v1/analyses/{ANALYSIS}",
)
ISSUED_AT = '"issued_at":"2024-06-01T12:30:00Z"'


@pytest.mark.parametrize("path", READS)
async def test_read_of_what_is_unchanged_is_304_though_time_goes_on(aged: Aged, fakes: Fakes, path: str) -> None:
    first = await aged.client.get(path)
    assert first.status_code == 200
    aged.seconds += FRESH_S + 0.01
    fakes.forecaster.issued_at += timedelta(seconds=1)
    fakes.knowledge.status = replace(fakes.knowledge.status, lag_seconds=61.0)
    again = await aged.client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("path", ["/api/v1/forecast/BTCUSD", "/api/v1/forecast/batch?symbols=BTCUSD"])
async def test_forecast_with_other_content_has_another_tag(aged: Aged, fakes: Fakes, path: str) -> None:
    first = await aged.client.get(path)
    assert ISSUED_AT in first.text
    fakes.forecaster.warnings = ("the newest bar closed an hour ago",)
    aged.seconds += FRESH_S + 0.01
    changed = await aged.client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200


async def test_text_that_looks_like_the_instant_of_issue_counts_in_the_tag(aged: Aged, fakes: Fakes) -> None:
    tags = set()
    for text in (ISSUED_AT, ISSUED_AT.replace("12", "13")):
        fakes.forecaster.warnings = (text,)
        aged.seconds += FRESH_S + 0.01
        answer = await aged.client.get("/api/v1/forecast/BTCUSD")
        assert json.loads(answer.content)["warnings"] == [text]
        tags.add(answer.headers["etag"])
    assert len(tags) == 2


async def test_sync_whose_lag_grew_by_more_than_a_step_is_told(reader: httpx.AsyncClient, fakes: Fakes) -> None:
    first = await reader.get("/api/v1/sync/status")
    fakes.knowledge.status = replace(fakes.knowledge.status, lag_seconds=60.0 + LAG_STEP_S)
    again = await reader.get("/api/v1/sync/status", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.json()["lag_seconds"]) == (200, 120.0)


@pytest.mark.parametrize("part", ["", "/history", "/accuracy"])
async def test_unknown_symbol_is_404_for_its_forecast_and_for_its_past(reader: httpx.AsyncClient, part: str) -> None:
    answer = await reader.get(f"/api/v1/forecast/NOPE{part}")
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("unknown-symbol")
