"""Filling history: forward, backward and into holes, cut off anywhere and gone on with."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.common.errors import Unavailable
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.ingest.filling import Direction, Wish, fill, pages_down, plan_of
from deployments.market_data.ingest.importing import ImportProgress
from deployments.market_data.instants import EPOCH, to_numpy
from deployments.market_data.models import Coverage, IngestReport, Interval
from deployments.market_data.quality.checks import gaps
from tests.fakes.candle_sources import ListSource
from tests.fakes.market_data import walk_table

NOW = datetime(2024, 6, 1, 12, 30, tzinfo=UTC)
DAY = timedelta(days=1)
BARS = 500
FIRST = NOW.replace(hour=0, minute=0) - (BARS - 1) * DAY
HISTORY = walk_table(FIRST, BARS, Interval.D1)
"""The last of it is still forming."""

CLOSED = BARS - 1


class Cut(Exception):
    """The process was killed here."""


class Market:
    """Bars by symbol and time, cut off at the n-th upsert, before or after it is stored."""

    def __init__(self, stored: dict[str, pa.Table]) -> None:
        self.bars: dict[str, dict[datetime, float]] = {}
        self.cut_at = -1
        self.stores_first = False
        for symbol, table in stored.items():
            self.bars[symbol] = dict(zip(table["time"].to_pylist(), table["close"].to_pylist(), strict=True))

    async def coverage(self, symbol: str, interval: Interval, with_gaps: bool = False) -> Coverage:
        times = sorted(self.bars.get(symbol, {}))
        if not times:
            return Coverage(symbol, interval)
        instants = np.array([to_numpy(time) for time in times])
        found = gaps(instants, interval, calendar_named("24/7")) if with_gaps else ()
        return Coverage(symbol, interval, times[0], times[-1], found)

    async def ingest(self, interval: Interval, rows: pa.Table, dry_run: bool = False) -> IngestReport:
        del interval
        self.cut_at -= 1
        if self.cut_at == 0 and not self.stores_first:
            raise Cut
        held = self.bars.setdefault(rows["symbol"][0].as_py(), {})
        told = dict(zip(rows["time"].to_pylist(), rows["close"].to_pylist(), strict=True))
        new = len(told.keys() - held.keys())
        changed = sum(time in held and held[time] != close for time, close in told.items())
        if not dry_run:
            held |= told
        if self.cut_at == 0:
            raise Cut
        return IngestReport(rows.num_rows, new, changed, rows.num_rows - new - changed, 0)


def market(**stored: pa.Table) -> Market:
    return Market(stored)


def bars(table: pa.Table) -> dict[datetime, float]:
    return Market({"A": table}).bars["A"]


def wish(direction: Direction = Direction.BOTH, start: datetime | None = None, **more: bool) -> Wish:
    return Wish(Interval.D1, NOW, start, direction, **more)


def stored(of: Market, symbol: str = "A") -> dict[datetime, float]:
    return of.bars[symbol]


@pytest.mark.parametrize("direction", list(Direction))
async def test_an_empty_market_gets_all_that_the_source_has(direction: Direction) -> None:
    held, seen = market(), list[ImportProgress]()
    reports = await fill(ListSource({"A": HISTORY}), held, ["A"], wish(direction), seen.append)
    assert stored(held) == bars(HISTORY.slice(0, CLOSED))
    assert reports == {"A": IngestReport(CLOSED, CLOSED, 0, 0, 0)}
    assert seen[-1].report == reports["A"]


async def test_a_start_bounds_the_fill_and_makes_the_number_of_pages_known() -> None:
    held, seen = market(), list[ImportProgress]()
    start = FIRST + 100 * DAY
    await fill(ListSource({"A": HISTORY, "B": HISTORY}), held, ["A", "B"], wish(start=start), seen.append)
    assert stored(held, "B") == bars(HISTORY.slice(100, CLOSED - 100))
    assert (seen[-1].done, seen[-1].total) == (len(seen), len(seen))


async def test_forward_goes_up_from_the_newest_stored_bar_with_a_few_read_again() -> None:
    held, source = market(A=HISTORY.slice(100, 300)), ListSource({"A": HISTORY})
    reports = await fill(source, held, ["A"], wish(Direction.FORWARD))
    assert stored(held) == bars(HISTORY.slice(100, CLOSED - 100))
    assert reports["A"] == IngestReport(CLOSED - 397, CLOSED - 400, 0, 3, 0)
    assert min(start for _, start, _ in source.asked) == FIRST + 397 * DAY


async def test_backward_goes_down_from_the_oldest_until_the_source_is_empty() -> None:
    held, source = market(A=HISTORY.slice(300, 100)), ListSource({"A": HISTORY})
    reports = await fill(source, held, ["A"], wish(Direction.BACKWARD))
    assert stored(held) == bars(HISTORY.slice(0, 400))
    assert reports["A"].unchanged == 0
    assert max(end for _, _, end in source.asked) == FIRST + 300 * DAY
    assert min(start for _, start, _ in source.asked) > FIRST - timedelta(days=121)


async def test_holes_are_filled_only_where_asked_for() -> None:
    holed = pa.concat_tables([HISTORY.slice(0, 50), HISTORY.slice(60, 10), HISTORY.slice(71, CLOSED - 71)])
    held, source = market(A=holed), ListSource({"A": HISTORY})
    assert (await fill(source, held, ["A"], wish()))["A"].inserted == 0
    dry = await fill(source, held, ["A"], wish(gaps=True, dry_run=True))
    assert await fill(source, held, ["A"], wish(gaps=True)) == dry
    assert dry["A"].inserted == 11
    assert stored(held) == bars(HISTORY.slice(0, CLOSED))


async def test_a_forward_fill_of_nothing_that_was_cut_off_goes_on_to_the_same_end() -> None:
    held, source = market(), ListSource({"A": HISTORY})
    held.cut_at = 2
    with pytest.raises(Cut):
        await fill(source, held, ["A"], wish(Direction.FORWARD))
    held.cut_at = -1
    await fill(source, held, ["A"], wish(Direction.FORWARD))
    assert stored(held) == bars(HISTORY.slice(0, CLOSED))


async def test_holes_side_by_side_and_at_the_end_are_counted_once_by_a_dry_run() -> None:
    holed = pa.concat_tables(
        [HISTORY.slice(0, 50), HISTORY.slice(51, 1), HISTORY.slice(53, 300), HISTORY.slice(354, 1)]
    )
    held, source = market(A=holed), ListSource({"A": HISTORY})
    for direction in (Direction.FORWARD, Direction.BACKWARD):
        dry = await fill(source, held, ["A"], wish(direction, gaps=True, dry_run=True))
        assert await fill(source, held, ["A"], wish(direction, gaps=True)) == dry


async def test_a_dry_run_counts_what_the_fill_then_does() -> None:
    held = market(A=HISTORY.slice(300, 100))
    dry = await fill(ListSource({"A": HISTORY}), held, ["A"], wish(dry_run=True))
    assert len(stored(held)) == 100
    assert await fill(ListSource({"A": HISTORY}), held, ["A"], wish()) == dry


async def test_an_error_ends_the_fill_and_cancels_the_rest() -> None:
    source = ListSource(dict.fromkeys("ABCDEF", HISTORY))
    source.errors["B"] = Unavailable("down")
    with pytest.raises(Unavailable, match="down"):
        await fill(source, market(), list("ABCDEF"), wish())


@settings(max_examples=100, deadline=None)
@given(
    held_rows=st.none() | st.tuples(st.integers(0, BARS - 3), st.integers(1, BARS)),
    direction=st.sampled_from(list(Direction)),
    start=st.none() | st.integers(0, BARS - 1),
    cuts=st.lists(st.tuples(st.integers(1, 8), st.booleans()), max_size=6),
)
def test_a_fill_that_is_cut_off_anywhere_and_started_again_ends_as_one_that_was_not(
    held_rows: tuple[int, int] | None, direction: Direction, start: int | None, cuts: list[tuple[int, bool]]
) -> None:
    def fresh() -> Market:
        if held_rows is None:
            return market()
        first, count = held_rows
        return market(A=HISTORY.slice(first, min(count, CLOSED - first)))

    async def scenario() -> None:
        asked_for = wish(direction, None if start is None else FIRST + start * DAY)
        whole, broken, source = fresh(), fresh(), ListSource({"A": HISTORY})
        await fill(ListSource({"A": HISTORY}), whole, ["A"], asked_for)
        again = 0
        for broken.cut_at, broken.stores_first in cuts:
            try:
                await fill(source, broken, ["A"], asked_for)
            except Cut:
                again += 1
        broken.cut_at = -1
        report = (await fill(source, broken, ["A"], asked_for))["A"]
        assert broken.bars == whole.bars
        # Whatever was stored before the cut is not stored again, but for the newest bars.
        assert report.received - report.inserted <= 3
        assert (await fill(source, broken, ["A"], asked_for))["A"].inserted == 0

    asyncio.run(scenario())


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2020, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(timedelta(0), timedelta(days=700)),
    st.sampled_from([Interval.M5, Interval.H1, Interval.D1]),
)
def test_pages_down_cover_the_window_once_from_its_end(start: datetime, length: timedelta, interval: Interval) -> None:
    found = pages_down(start, start + length, interval)
    assert all(later[0] == earlier[1] for later, earlier in pairwise(found))
    assert not found or (found[0][1], found[-1][0]) == (start + length, start)
    assert all(start < end for start, end in found)


def test_nothing_is_planned_where_all_is_there() -> None:
    whole = Coverage("A", Interval.D1, FIRST, NOW)
    plan = plan_of(whole, Wish(Interval.D1, NOW - DAY, FIRST))
    assert (plan.holes, plan.older) == ((), ())
    assert plan_of(whole, Wish(Interval.D1, FIRST, EPOCH)).newer == ()
