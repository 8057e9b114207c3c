"""Longer bars out of finer ones, in SQL and in plain Python."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from deployments.common.settings import DatabaseSettings
from deployments.market_data.calendars.buckets import incomplete
from deployments.market_data.calendars.calendar import Buckets, calendar_named
from deployments.market_data.calendars.windows import Ask
from deployments.market_data.instants import EPOCH, to_datetime
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from deployments.market_data.timescale.candles import TimescaleStore
from deployments.market_data.timescale.pool import Database, arguments_of, connect
from tests.fakes.market_stores import MemoryCandleStore

HOUR = timedelta(hours=1)
END = datetime(2200, 1, 1, tzinfo=UTC)
PAIRS = [
    *[(Interval.M1, interval) for interval in (Interval.M5, Interval.M15, Interval.M30, Interval.H1)],
    *[(source, interval) for source in (Interval.M15, Interval.H1) for interval in (Interval.H4, Interval.D1)],
    (Interval.M1, Interval.D1),
]
STARTS = {
    "24/7": datetime(2026, 3, 6, tzinfo=UTC),
    "forex": datetime(2026, 3, 5, 18, tzinfo=UTC),  # over the weekend on which only New York changed its clocks
    "XNYS": datetime(2025, 11, 26, 14, 30, tzinfo=UTC),  # over Thanksgiving and the short day after it
}


def fine_rows(calendar: str, source: Interval, seed: int, bars: int, holes: list[tuple[int, int]]) -> pa.Table:
    """Return rows of one symbol around the clock, broken ones among them, with holes of (first bar, bars)."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, bars)))
    spread = random.uniform(0, 1, bars)
    spread[random.uniform(size=bars) < 0.02] = np.nan
    rows = [
        {
            "symbol": "BTCUSD",
            "time": STARTS[calendar] + n * source.delta,
            "open": close[n] + spread[n] / 2,
            "high": close[n] + spread[n],
            "low": close[n] - spread[n],
            "close": close[n],
            "volume": float(n % 7),
        }
        for n in range(bars)
        if not any(first <= n < first + length for first, length in holes)
    ]
    return pa.Table.from_pylist(rows, schema=SYMBOL_CANDLE_SCHEMA)


class Watched(Database):
    """A database that remembers how much time the sums of one statement covered."""

    longest = timedelta(0)

    async def fetch(self, statement: str, *values: object, name: str = "") -> list[asyncpg.Record]:
        if name.startswith("sums"):
            first, end = values[-2:]
            assert isinstance(first, datetime)
            assert isinstance(end, datetime)
            self.longest = max(self.longest, end - first)
        return await super().fetch(statement, *values, name=name)


@pytest.fixture(scope="module")
def empty_server(database_server: DatabaseSettings) -> DatabaseSettings:
    """A database whose candle tables each example drops again."""

    async def make() -> None:
        connection = await connect(arguments_of(database_server))
        await connection.execute("CREATE DATABASE aggregation")
        await connection.close()

    asyncio.run(make())
    return database_server.model_copy(update={"database": "aggregation"})


@asynccontextmanager
async def filled(settings: DatabaseSettings, source: Interval, rows: pa.Table) -> AsyncIterator[TimescaleStore]:
    """A store whose only table is that of `source`, with room for no more than 3,000 fine rows at once."""
    watched = Watched(arguments_of(settings))
    store = TimescaleStore(watched, fine_rows=3_000)
    await store.upsert(source, rows)
    try:
        yield store
        # One more: the first bucket takes the bar in, too, that reaches into it.
        assert watched.longest <= 3_001 * source.delta
    finally:
        await store.close()
        connection = await connect(arguments_of(settings))
        await connection.execute(f"DROP TABLE {source.table}")
        await connection.close()


cases = st.sampled_from(list(STARTS))
holes = st.lists(st.tuples(st.integers(0, 4_000), st.integers(1, 700)), max_size=6)


@pytest.mark.db
@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # to shrink would take minutes, every example a table
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cases, st.sampled_from(PAIRS), st.integers(0, 2**32), st.integers(1, 4_000), holes, st.data())
def test_database_adds_up_the_bars_that_plain_python_does(
    empty_server: DatabaseSettings,
    calendar: str,
    pair: tuple[Interval, Interval],
    seed: int,
    bars: int,
    holes: list[tuple[int, int]],
    data: st.DataObject,
) -> None:
    source, interval = pair
    rows = fine_rows(calendar, source, seed, bars, holes)
    since = data.draw(st.integers(-5, 200))
    limit = data.draw(st.integers(1, 400))
    page = data.draw(st.integers(1, 40))
    market = calendar_named(calendar)
    ask = Ask("BTCUSD", market, None, END, limit)
    later = Ask("BTCUSD", market, STARTS[calendar] + since * HOUR, STARTS[calendar] + (since + 30) * HOUR, limit)

    async def compare() -> None:
        plain = MemoryCandleStore()
        await plain.upsert(source, rows)
        async with filled(empty_server, source, rows) as store:
            for one in (ask, later):
                (told,), (meant,) = await store.windows(interval, [one]), await plain.windows(interval, [one])
                assert told.to_pylist() == meant.to_pylist()
            key = (STARTS[calendar] - HOUR, "")
            meant = await plain.after(interval, ["BTCUSD"], key, END, 100_000, {"BTCUSD": market})
            told = await store.after(interval, ["BTCUSD"], key, END, 100_000, {"BTCUSD": market})
            assert told.to_pylist() == meant.to_pylist()
            for n in range(0, min(meant.num_rows, 3 * page), page):
                told = await store.after(interval, ["BTCUSD"], key, END, page, {"BTCUSD": market})
                assert told.to_pylist() == meant.slice(n, page).to_pylist()
                key = (told["time"][-1].as_py(), "BTCUSD")

    asyncio.run(compare())


@given(
    cases,
    st.sampled_from(list(Interval)),
    st.integers(0, 20_000).map(lambda hours: datetime(2024, 1, 1, tzinfo=UTC) + hours * HOUR),
    st.integers(1, 400),
)
def test_buckets_hold_every_bar_that_is_due_and_never_overlap(
    calendar: str, interval: Interval, start: datetime, hours: int
) -> None:
    market = calendar_named(calendar)
    end = start + hours * HOUR
    found = market.buckets(interval, start, end)
    assert set(market.expected(interval, start, end)) <= set(found.openings)
    assert (found.starts < found.ends).all()
    assert (found.starts[1:] >= found.ends[:-1]).all()
    assert (found.ends <= found.openings + np.timedelta64(interval.delta)).all()


@given(cases, st.sampled_from(list(Interval)), st.integers(1, 300))
def test_newest_and_oldest_buckets_are_the_ends_of_all_of_them(calendar: str, interval: Interval, n: int) -> None:
    market = calendar_named(calendar)
    start, end = datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
    every = market.buckets(interval, start, end)
    assert _same(market.last_buckets(interval, start, end, n), every[max(0, len(every) - n) :])
    assert _same(market.first_buckets(interval, start, end, n), every[:n])
    if interval.delta >= HOUR:
        assert len(market.last_buckets(interval, EPOCH, end, n)) == n


@given(
    cases, st.sampled_from(list(Interval)), st.integers(0, 300), st.integers(1, 100_000).map(lambda n: n * HOUR / 60)
)
def test_buckets_within_a_span_are_as_many_as_fit_and_at_least_one(
    calendar: str, interval: Interval, n: int, span: timedelta
) -> None:
    every = calendar_named(calendar).last_buckets(interval, EPOCH, datetime(2024, 6, 1, tzinfo=UTC), n)
    lengths = [to_datetime(every.ends[-1]) - to_datetime(start) for start in every.starts[::-1]]
    fitting = max(sum(length <= span for length in lengths), min(1, n))
    assert _same(every.newest(span), every[len(every) - fitting :])
    lengths = [to_datetime(end) - to_datetime(every.starts[0]) for end in every.ends]
    fitting = max(sum(length <= span for length in lengths), min(1, n))
    assert _same(every.oldest(span), every[:fitting])


def _same(one: Buckets, other: Buckets) -> bool:
    return np.array_equal(one.openings, other.openings) and np.array_equal(one.starts, other.starts)


def test_stock_day_covers_its_session_and_a_short_one_ends_at_noon() -> None:
    found = calendar_named("XNYS").buckets(
        Interval.D1, datetime(2025, 11, 26, tzinfo=UTC), datetime(2025, 11, 29, tzinfo=UTC)
    )
    assert [str(time)[5:16] for time in found.starts] == ["11-26T14:30", "11-28T14:30"]
    assert [str(time)[5:16] for time in found.ends] == ["11-26T21:00", "11-28T18:00"]


def test_currency_monday_starts_on_sunday_and_friday_ends_with_the_week() -> None:
    friday, monday = 0, 1
    found = calendar_named("forex").buckets(
        Interval.D1, datetime(2026, 3, 6, tzinfo=UTC), datetime(2026, 3, 10, tzinfo=UTC)
    )
    # An hour beyond the week on both sides, for feeds that tell it by another clock; New York changed its own between.
    assert to_datetime(found.ends[friday]) == datetime(2026, 3, 6, 23, tzinfo=UTC)
    assert to_datetime(found.starts[monday]) == datetime(2026, 3, 8, 20, tzinfo=UTC)


@pytest.mark.parametrize(("present", "is_incomplete"), [((0, 1, 2), False), ((0, 1, 2, 3), False), ((1, 2, 3), True)])
def test_bar_that_a_short_day_cuts_off_stands_for_no_other(present: tuple[int, ...], is_incomplete: bool) -> None:
    day = datetime(2025, 11, 28, tzinfo=UTC)
    market = calendar_named("XNYS")
    times = np.datetime64("2025-11-28T14:30", "us") + np.array(present) * np.timedelta64(1, "h")
    found = market.buckets(Interval.D1, day, day + timedelta(days=1))
    told = incomplete(found, np.array([len(times)]), times[:1], times[-1:], Interval.H1, market)
    assert told.tolist() == [is_incomplete]


def test_exchange_with_a_lunch_break_starts_anew_after_it() -> None:
    found = calendar_named("XTKS").expected(
        Interval.H1, datetime(2025, 11, 27, tzinfo=UTC), datetime(2025, 11, 28, tzinfo=UTC)
    )
    assert [str(time)[11:16] for time in found] == ["00:00", "01:00", "02:00", "03:30", "04:30", "05:30"]
