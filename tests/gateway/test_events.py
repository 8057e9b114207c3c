"""The event hub: what counts as news, who hears it, and what a listener that was away gets."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from fastapi import FastAPI

from deployments.common.errors import Unavailable
from deployments.forecasting.models import ForecastRequest, PastForecast
from deployments.gateway.events import KNOWN, QUEUE, EventHub, Sight, Snapshot, changes
from deployments.gateway.health import HealthBoard
from deployments.gateway.watch import Watch, forecast_sight
from deployments.gateway.wire.sse import ServerEvent, with_silences
from tests.fakes.asgi import streamed
from tests.fakes.gateway import NOW, Fakes, forecast


class World:
    """A clock and a snapshot that a test changes."""

    def __init__(self) -> None:
        self.now = NOW
        self.seen: dict[tuple[str, str], Sight] = {}
        self.broken = False

    def clock(self) -> datetime:
        return self.now

    async def look(self) -> Snapshot:
        if self.broken:
            raise RuntimeError("no look today")
        return dict(self.seen)

    def put(self, about: str, value: object) -> None:
        self.seen["candle", about] = Sight({"value": value}, value)

    def hub(self, poll_s: float = 3_600.0, forewarn: Callable[[], None] = lambda: None) -> EventHub:
        return EventHub(self.look, self.clock, poll_s, forewarn=forewarn)


async def take(events: AsyncIterator[ServerEvent], count: int) -> list[ServerEvent]:
    async with asyncio.timeout(20):
        return [await anext(events) for _ in range(count)]


async def until_listening(hub: EventHub, count: int) -> None:
    async with asyncio.timeout(20):
        while hub.listeners != count:  # noqa: ASYNC110  (polled, with a deadline)
            await asyncio.sleep(0)


def test_only_what_is_new_or_different_is_an_event() -> None:
    before = {("a", "1"): Sight("x", 1), ("a", "2"): Sight("x", 1), ("a", "4"): Sight("x", 1)}
    after = {("a", "1"): Sight("y", 1), ("a", "2"): Sight("z", 2), ("b", "3"): Sight("new", 1)}
    assert changes(before, after) == [("a", "z"), ("b", "new")]


async def test_first_look_only_takes_stock() -> None:
    world = World()
    hub = world.hub()
    world.put("BTC", 1)
    await hub.poll()
    events = hub.listen()
    first = asyncio.create_task(take(events, 1))
    await until_listening(hub, 1)
    world.put("BTC", 2)
    await hub.poll()
    assert [event.data for event in await first] == [{"value": 2}]
    await events.aclose()  # type: ignore[attr-defined]
    assert hub.listeners == 0
    await hub.close()


async def test_look_that_found_something_is_forewarned_of() -> None:
    world, warnings = World(), list[bool]()
    hub = world.hub(forewarn=lambda: warnings.append(True))
    counts = []
    for value in (1, 1, 2, 2):
        world.put("BTC", value)
        warnings.clear()
        await hub.poll()
        counts.append(bool(warnings))
    assert counts == [True, False, True, False]
    await hub.close()


async def test_what_is_observed_to_change_is_forewarned_of_and_a_first_sight_is_not() -> None:
    world, warnings = World(), list[bool]()
    hub = world.hub(forewarn=lambda: warnings.append(True))
    for mark in (1, 1):
        hub.observe({("forecast", "BTC"): Sight("it", mark)})
    assert warnings == []
    hub.observe({("forecast", "BTC"): Sight("it", 2)})
    assert warnings == [True]


async def test_listener_that_was_away_gets_what_it_missed() -> None:
    world = World()
    hub = world.hub()
    await hub.poll()
    for value in range(3):
        world.put("BTC", value)
        world.now += timedelta(seconds=1)
        await hub.poll()
    everything = await take(hub.listen("0-0"), 3)
    assert [event.data for event in await take(hub.listen(everything[0].id), 2)] == [{"value": 1}, {"value": 2}]
    await hub.close()


async def test_what_happened_long_ago_is_forgotten() -> None:
    world = World()
    hub = world.hub()
    await hub.poll()
    for value in range(2):
        world.put("BTC", value)
        world.now += timedelta(seconds=200)
        await hub.poll()
    world.now += timedelta(seconds=101)
    assert [event.data for event in await take(hub.listen("0-0"), 1)] == [{"value": 1}]
    await hub.close()


async def test_look_after_a_long_pause_takes_stock_again() -> None:
    world = World()
    hub = world.hub()
    await hub.poll()
    world.put("BTC", 1)
    world.now += timedelta(minutes=6)
    await hub.poll()
    world.put("BTC", 2)
    await hub.poll()
    assert [event.data for event in await take(hub.listen("0-0"), 1)] == [{"value": 2}]
    await hub.close()


@pytest.mark.parametrize("last_id", ["", "x", "1", "-", "9" * 5_000 + "-1", "1-²", "-1-1"])
async def test_unfit_last_id_starts_at_the_present(last_id: str) -> None:
    world = World()
    hub = world.hub()
    await hub.poll()
    world.put("BTC", 1)
    await hub.poll()
    events = hub.listen(last_id)
    first = asyncio.create_task(take(events, 1))
    await until_listening(hub, 1)
    world.put("BTC", 2)
    await hub.poll()
    assert [event.data for event in await first] == [{"value": 2}]
    await hub.close()


async def test_ids_ascend_when_the_clock_stands_still_or_steps_back() -> None:
    world = World()
    hub = world.hub()
    await hub.poll()
    for value in range(4):
        world.put("BTC", value)
        world.now -= timedelta(seconds=value)
        await hub.poll()
    ids = [tuple(map(int, event.id.split("-"))) for event in await take(hub.listen("0-0"), 4)]
    assert ids == sorted(set(ids))
    await hub.close()


async def test_listener_that_does_not_keep_up_is_let_go() -> None:
    world = World()
    hub = world.hub()
    events = hub.listen()
    first = asyncio.create_task(take(events, 1))
    await until_listening(hub, 1)
    for value in range(QUEUE + 10):
        hub.observe({("candle", "BTC"): Sight(value, value)})
    assert hub.listeners == 0
    heard = len(await first) + len([event async for event in events])
    assert heard < QUEUE + 10
    await hub.close()


async def test_hub_looks_only_while_somebody_listens_and_survives_a_bad_look() -> None:
    world = World()
    hub = world.hub(poll_s=0.0)
    world.broken = True
    events = hub.listen()
    first = asyncio.create_task(take(events, 1))
    await until_listening(hub, 1)
    world.broken = False
    async with asyncio.timeout(20):
        while not first.done():
            world.put("BTC", object())
            await asyncio.sleep(0)
    await events.aclose()  # type: ignore[attr-defined]
    task = hub._task
    assert task is not None
    async with asyncio.timeout(20):
        await task


async def test_hub_remembers_a_bounded_number_of_things_and_forgets_those_seen_long_ago() -> None:
    world = World()
    hub = world.hub()
    seen = {("forecast", str(number)): Sight(number, 1) for number in range(KNOWN)}
    hub.observe(seen)
    hub.observe({("forecast", "0"): Sight(0, 1)})
    hub.observe({("forecast", "more"): Sight("more", 1)})
    listener = hub.listen(f"{int(NOW.timestamp() * 1000)}-{KNOWN}")
    hub.observe({("forecast", "0"): Sight("still known", 1), ("forecast", "1"): Sight("forgotten", 1)})
    assert [event.data for event in await take(listener, 1)] == ["forgotten"]
    await hub.close()


async def test_silence_is_filled() -> None:
    async def slow() -> AsyncIterator[int]:
        await asyncio.sleep(0.02)
        yield 1

    heard = [item async for item in with_silences(slow(), 0.001)]
    assert heard[-1] == 1
    assert set(heard[:-1]) == {None}


def watch_over(fakes: Fakes) -> Watch:
    return Watch(fakes.services, HealthBoard(fakes.services, "1", 2.0, 0.0), lambda: NOW)


async def test_snapshot_holds_every_kind_but_forecasts_of_before(fakes: Fakes) -> None:
    old = forecast(ForecastRequest("BTCUSD"), NOW - timedelta(hours=1))
    fakes.forecaster.past["BTCUSD"] = (PastForecast(old, (), None, None),)
    seen = await watch_over(fakes).look()
    assert {name for name, _ in seen} == {"candle", "sync", "training", "model", "health"}


async def test_snapshot_shows_a_new_candle_and_a_new_forecast(fakes: Fakes) -> None:
    watch = watch_over(fakes)
    before = await watch.look()
    fakes.market_data.append("ETHUSD", 99.0)
    new = forecast(ForecastRequest("ETHUSD"), NOW)
    fakes.forecaster.past["ETHUSD"] = (PastForecast(new, (), None, None),)
    news = changes(before, await watch.look())
    assert sorted(name for name, _ in news) == ["candle", "forecast"]


async def test_sync_lag_alone_is_no_news_but_its_state_is(fakes: Fakes) -> None:
    watch = watch_over(fakes)
    before = await watch.look()
    fakes.knowledge.status = replace(fakes.knowledge.status, lag_seconds=61.0)
    assert changes(before, await watch.look()) == []
    await fakes.knowledge.stop_sync()
    assert [name for name, _ in changes(before, await watch.look())] == ["sync"]


async def test_part_that_does_not_answer_is_health_news_only(fakes: Fakes) -> None:
    watch = watch_over(fakes)
    before = await watch.look()
    fakes.market_data.error = Unavailable("gone")
    assert {name for name, _ in changes(before, await watch.look())} == {"health"}


def test_forecast_is_news_once() -> None:
    first = forecast_sight(forecast(ForecastRequest("BTCUSD"), NOW))
    assert changes(first, forecast_sight(forecast(ForecastRequest("BTCUSD"), NOW))) == []
    again = replace(forecast(ForecastRequest("BTCUSD"), NOW), issued_at=NOW + timedelta(seconds=5))
    assert changes(first, forecast_sight(again)) == []
    other = replace(again, model=replace(again.model, version="20240401T000000Z-bbbbbb"))
    assert len(changes(first, forecast_sight(other))) == 1
    later = forecast_sight(forecast(ForecastRequest("BTCUSD"), NOW + timedelta(hours=1)))
    assert len(changes(first, later)) == 1


async def test_stream_tells_of_a_stopped_sync(app: FastAPI, fakes: Fakes, keys: dict[str, str]) -> None:
    hub = app.state.parts.hub
    await hub.poll()
    async with streamed(app, "GET", "/api/v1/events", {"X-API-Key": keys["read"]}) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "etag" not in stream.headers
        await stream.read_until("retry: 3000\n\n")
        await until_listening(hub, 1)
        await fakes.knowledge.stop_sync()
        event = await stream.read_until("\n\n")
    assert event.startswith("id: ")
    assert json.loads(event.partition("data: ")[2])["state"] == "stopped"
    await until_listening(hub, 0)
    await hub.close()
