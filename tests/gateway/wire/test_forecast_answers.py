"""Forecasts asked again: the same answer without another question, and never one that no longer holds."""

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from deployments.common.errors import DatabaseUnavailable, Unavailable
from deployments.forecasting.models import Forecast, ForecastRequest
from deployments.gateway.wire.forecast_answers import THREAD_POINTS, ForecastSource, WantedForecasts
from deployments.gateway.wire.kept_answers import FRESH_S, RENEW_S, Lasting, Passing
from tests.fakes.asgi import Aged, told
from tests.fakes.gateway import NOW, FakeForecaster, Fakes

ONE = "/api/v1/forecast/BTCUSD?horizon=24"
BATCH = "/api/v1/forecast/batch?symbols=BTCUSD,ETHUSD"
PAST = "/api/v1/forecast/BTCUSD?as_of=2024-05-20"
BATCH_OF_THE_PAST = f"{BATCH}&as_of=2024-05-20"
PATHS = (ONE, BATCH, PAST, BATCH_OF_THE_PAST)


@pytest.mark.parametrize("path", PATHS)
async def test_forecast_asked_twice_is_asked_for_once(path: str, fakes: Fakes, reader: httpx.AsyncClient) -> None:
    first = await told(reader, path, {"X-Request-ID": "mine"})
    assert first[0] == 200
    assert [await told(reader, path, {"X-Request-ID": "mine"}) for _ in range(3)] == [first] * 3
    assert fakes.forecaster.calls == 1


@pytest.mark.parametrize("path", PATHS)
async def test_two_clients_at_once_are_one_question(path: str, fakes: Fakes, reader: httpx.AsyncClient) -> None:
    one, two = await asyncio.gather(reader.get(path), reader.get(path))
    assert (one.content, one.status_code, fakes.forecaster.calls) == (two.content, 200, 1)


@pytest.mark.parametrize("path", PATHS)
async def test_forecast_is_asked_for_again_when_the_second_is_over(path: str, fakes: Fakes, aged: Aged) -> None:
    await aged.client.get(path)
    fakes.forecaster.serving = "v2"
    aged.seconds += RENEW_S
    assert (await aged.client.get(path)).text.count('"version":"v1"') > 0
    assert fakes.forecaster.calls == 1
    aged.seconds += FRESH_S
    text = (await aged.client.get(path)).text
    assert '"version":"v2"' in text
    assert '"version":"v1"' not in text
    assert fakes.forecaster.calls == 2


@pytest.mark.parametrize("path", [ONE, BATCH])
async def test_new_version_is_in_the_first_answer_after_its_promotion(path: str, fakes: Fakes, aged: Aged) -> None:
    await aged.client.get(path)
    assert (await aged.client.post("/api/v1/models/v2/promote", json={"force": True})).status_code == 200
    assert '"version":"v2"' in (await aged.client.get(path)).text
    assert fakes.forecaster.calls == 2


async def test_listener_who_hears_of_a_new_forecast_is_not_told_the_old_one(fakes: Fakes, aged: Aged) -> None:
    """Two questions about one series: what the answer to one of them announces, the other one must know of."""
    other = f"{ONE}&level=50"
    await aged.client.get(other)
    aged.seconds += RENEW_S
    await aged.client.get(ONE)
    fakes.forecaster.serving = "v2"
    aged.seconds += RENEW_S + 0.01
    await aged.client.get(f"{ONE}&level=60")  # asked for the first time, and so announced
    assert '"version":"v2"' in (await aged.client.get(ONE)).text


async def test_content_that_is_the_same_keeps_bytes_and_tag_though_it_was_issued_again(
    fakes: Fakes, aged: Aged
) -> None:
    first = await aged.told(ONE, **{"Accept-Encoding": "gzip"})
    fakes.forecaster.issued_at += timedelta(seconds=5)
    aged.seconds += FRESH_S + 0.01
    again = await aged.told(ONE, **{"Accept-Encoding": "gzip"})
    assert (again[2], again[1]["etag"], again[1]["content-encoding"]) == (first[2], first[1]["etag"], "gzip")
    assert fakes.forecaster.calls == 2
    assert (await aged.told(ONE, **{"If-None-Match": first[1]["etag"]}))[0] == 304


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/forecast/NOPE", 404), (f"{ONE}&level=0", 422), ("/api/v1/forecast/batch?symbols=,", 422)],
)
async def test_refusal_of_a_forecast_is_not_kept(
    path: str, status: int, app: FastAPI, reader: httpx.AsyncClient
) -> None:
    for identity in ("one", "two"):
        answer = await reader.get(path, headers={"X-Request-ID": identity})
        assert (answer.status_code, answer.json()["instance"]) == (status, identity)
    assert (app.state.parts.forecasts.entries, app.state.parts.forecasts.hits) == (0, 0)


@pytest.mark.parametrize("symbols", ["BTCUSD,NOPE", "BTCUSD,B%20D", "B%20D"])
async def test_batch_with_errors_is_not_kept_and_names_the_request_that_reads_it(
    symbols: str, app: FastAPI, reader: httpx.AsyncClient
) -> None:
    path = f"/api/v1/forecast/batch?symbols={symbols}"

    async def instances(identity: str) -> set[str]:
        answer = await reader.get(path, headers={"X-Request-ID": identity})
        return {problem["instance"] for problem in answer.json()["errors"].values()}

    one, two = await asyncio.gather(instances("one"), instances("two"))
    assert (one, two) == ({"one"}, {"two"})
    assert await instances("three") == {"three"}
    assert app.state.parts.forecasts.entries == 0


async def test_batch_whose_symbol_fails_later_tells_so_when_the_second_is_over(fakes: Fakes, aged: Aged) -> None:
    assert (await aged.client.get(BATCH)).json()["errors"] == {}
    fakes.forecaster.error = DatabaseUnavailable("away", 7.0)
    aged.seconds += FRESH_S + 0.01
    assert set((await aged.client.get(BATCH)).json()["errors"]) == {"BTCUSD", "ETHUSD"}
    fakes.forecaster.error = None
    assert (await aged.client.get(BATCH)).json()["errors"] == {}


async def test_failure_of_the_forecaster_reaches_a_hot_read_as_a_cold_one(fakes: Fakes, aged: Aged) -> None:
    await aged.client.get(ONE)
    fakes.forecaster.error = DatabaseUnavailable("away", 7.0)
    cold = await aged.told("/api/v1/forecast/ETHUSD", **{"X-Request-ID": "mine"})
    aged.seconds += FRESH_S + 0.01
    assert await aged.told(ONE, **{"X-Request-ID": "mine"}) == cold
    assert (cold[0], cold[1]["retry-after"]) == (503, "7")


async def test_forecaster_that_dies_under_a_hot_read_is_asked_twice(fakes: Fakes, aged: Aged) -> None:
    await aged.client.get(ONE)
    aged.seconds += FRESH_S + 0.01
    fakes.forecaster.error = Unavailable("gone", 1.0)
    assert (await aged.client.get(ONE)).status_code == 503
    assert fakes.forecaster.calls == 1 + 2


async def test_stranger_gets_no_kept_forecast(anyone: httpx.AsyncClient, reader: httpx.AsyncClient) -> None:
    assert (await reader.get(ONE)).status_code == 200
    assert (await anyone.get(ONE)).status_code == 401


async def test_hot_forecasts_are_logged_as_the_others(app: FastAPI, fakes: Fakes, reader: httpx.AsyncClient) -> None:
    for path in (ONE, ONE, BATCH, BATCH):
        await reader.get(path)
    await app.state.parts.queries.flush()
    logged = [(each.endpoint, each.status) for each in fakes.market_data.entries]
    assert logged == [("/api/v1/forecast/{symbol}", 200)] * 2 + [("/api/v1/forecast/batch", 200)] * 2


async def test_questions_that_differ_have_answers_of_their_own(reader: httpx.AsyncClient) -> None:
    paths = (
        ONE,
        PAST,
        BATCH,
        "/api/v1/forecast/ETHUSD",
        "/api/v1/forecast/BTCUSD?horizon=3",
        "/api/v1/forecast/BTCUSD?level=50",
        "/api/v1/forecast/BTCUSD?interval=1d",
        "/api/v1/forecast/batch?symbols=BTCUSD",
    )
    first = [(await reader.get(path)).content for path in paths]
    assert len(set(first)) == len(paths) - 1  # the fake's forecast of the past is that of now
    assert [(await reader.get(path)).content for path in paths] == first


async def test_statistics_count_forecasts_from_memory(reader: httpx.AsyncClient) -> None:
    for _ in range(3):
        await reader.get(ONE)
    cache = (await reader.get("/api/v1/system/stats")).json()["cache"]
    assert (cache["forecast_answers"], cache["forecast_hits"], cache["forecast_misses"]) == (1, 2, 1)
    assert cache["forecast_bytes"] > 2_000


async def test_each_answer_of_the_forecaster_is_announced_but_none_about_the_past() -> None:
    announced: list[Forecast] = []
    source = ForecastSource(FakeForecaster(), announced.append)
    found = await source.changed(WantedForecasts(ForecastRequest("BTCUSD")), "")
    assert isinstance(found, Lasting)
    assert await source.changed(WantedForecasts(ForecastRequest("BTCUSD")), found.generation) is None
    await source.changed(WantedForecasts(ForecastRequest(""), "BTCUSD,ETHUSD"), "")
    assert [each.symbol for each in announced] == ["BTCUSD", "BTCUSD", "BTCUSD", "ETHUSD"]
    await source.changed(WantedForecasts(ForecastRequest("BTCUSD", as_of=NOW)), "")
    await source.changed(WantedForecasts(ForecastRequest("", as_of=NOW), "BTCUSD"), "")
    assert len(announced) == 4


class Counting(ThreadPoolExecutor):
    """Threads that count what they are given to do."""

    tasks = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.tasks += 1
        return super().submit(fn, *args, **kwargs)


@pytest.mark.parametrize("symbols", ["BTCUSD,ETHUSD", "BTCUSD,ETHUSD,NOPE"])
async def test_large_batch_is_written_beside_the_event_loop(symbols: str) -> None:
    beside = Counting()
    asyncio.get_running_loop().set_default_executor(beside)
    source = ForecastSource(FakeForecaster(), lambda _: None)
    question = ForecastRequest("", horizon=THREAD_POINTS)
    found = await source.changed(WantedForecasts(question, symbols), "")
    if isinstance(found, Passing):
        await found.write()
    assert beside.tasks == 1


async def test_batch_body_holds_what_was_asked(reader: httpx.AsyncClient) -> None:
    body = json.loads((await reader.get(f"{BATCH}&horizon=2")).content)
    assert set(body["results"]) == {"BTCUSD", "ETHUSD"}
    assert {len(item["points"]) for item in body["results"].values()} == {2}
