"""What a forecast starts from: the same numbers as training, and times at which the market is open."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from deployments.common.errors import TooLittleHistory
from deployments.forecasting.series.panel import panel_of
from deployments.forecasting.series.windows import windows_at
from deployments.forecasting.serving.answer import standing
from deployments.forecasting.serving.history import coming_times, history_of, past_of
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.instants import to_numpy
from deployments.market_data.models import Candles, Interval, Source
from tests.fakes.market_data import candle_table
from tests.fakes.panels import START, wavy_closes, wavy_tables


def candles(table: object, forming: bool = False, symbol: str = "AAAUSD") -> Candles:
    return Candles(symbol, Interval.H1, table, Source.DATABASE, None, stale=False, forming=forming)


def test_serving_reads_what_training_read() -> None:
    tables = wavy_tables(700)
    tables["BBBUSD"] = tables["BBBUSD"].take([*range(600), *range(604, 700)])
    panel = panel_of(tables, Interval.H1)
    origins = panel.offsets[1:] - 1 - 24

    served = past_of(
        [history_of(candles(table.slice(0, table.num_rows - 24)), "24/7") for table in tables.values()], 512, 24
    )

    trained = windows_at(panel, origins, 512, 24).past
    for part in ("log_closes", "variances", "known", "hours", "coming", "calendars"):
        np.testing.assert_array_equal(getattr(served, part), getattr(trained, part), part)


def test_serving_masks_what_training_masks_but_starts_from_the_newest_price() -> None:
    table = wavy_tables(200)["AAAUSD"]
    torn = tuple(START + timedelta(hours=hour) for hour in (50, 51, 120, 199))
    trained = panel_of({"AAAUSD": table}, Interval.H1, incomplete={"AAAUSD": torn[:-1]})

    history = history_of(replace(candles(table), incomplete=torn), "24/7")

    for part in ("log_closes", "variances", "known", "hours"):
        np.testing.assert_array_equal(getattr(history.bars, part), getattr(trained, part), part)
    assert history.log_closes[-1] == np.log(table["close"][-1].as_py())


@pytest.mark.parametrize(("outage", "masked"), [(10, 10), (24, 24), (60, 24)])
def test_bars_of_an_outage_are_masked_alike_however_many_bars_are_read(outage: int, masked: int) -> None:
    table = wavy_tables(3_000)["AAAUSD"]
    torn = tuple(START + timedelta(hours=2_900 + hour) for hour in range(outage))

    trained = panel_of({"AAAUSD": table}, Interval.H1, incomplete={"AAAUSD": torn})
    served = history_of(replace(candles(table.slice(2_000)), incomplete=torn), "24/7")

    assert np.count_nonzero(~trained.known[-1_000:]) == masked
    np.testing.assert_array_equal(served.bars.known, trained.known[-1_000:])


def test_a_forming_bar_is_left_out() -> None:
    history = history_of(candles(wavy_tables(30)["AAAUSD"], forming=True), "24/7")

    assert len(history) == 29
    assert history.last_time == START + timedelta(hours=28)


def test_bars_added_up_from_too_few_finer_ones_are_told() -> None:
    found = candles(wavy_tables(30)["AAAUSD"])
    doubtful = (START + timedelta(hours=3), START + timedelta(hours=29))

    history = history_of(replace(found, incomplete=doubtful), "24/7")

    _, whole = standing(None, "no model", history_of(found, "24/7"), START, None)
    _, warnings = standing(None, "no model", history, START, None)
    newest = f"{doubtful[-1]:%Y-%m-%d %H:%M}Z"
    assert set(warnings) - set(whole) == {f"2 bars were added up from too few finer ones, the newest at {newest}"}


@pytest.mark.parametrize("bars", [0, 5, 19])
def test_too_few_bars_say_how_many_are_missing(bars: int) -> None:
    with pytest.raises(TooLittleHistory) as caught:
        history_of(candles(wavy_tables(30)["AAAUSD"].slice(0, bars)), "24/7")

    assert (caught.value.have, caught.value.need) == (bars, 20)


def test_shorter_histories_are_masked_in_front() -> None:
    short, long = (history_of(candles(wavy_tables(bars)["AAAUSD"]), "24/7") for bars in (30, 50))

    past = past_of([short, long], 1_000, 6)

    assert past.known.sum(axis=1).tolist() == [30, 50]
    assert past.known[0, -30:].all()
    assert past.coming.shape == (2, 6)


@pytest.mark.parametrize(
    ("calendar", "last", "first"),
    [
        ("24/7", datetime(2024, 1, 5, 21, tzinfo=UTC), datetime(2024, 1, 5, 22, tzinfo=UTC)),
        ("forex", datetime(2024, 1, 5, 21, tzinfo=UTC), datetime(2024, 1, 7, 22, tzinfo=UTC)),
        ("XNYS", datetime(2024, 1, 5, 20, 30, tzinfo=UTC), datetime(2024, 1, 8, 14, 30, tzinfo=UTC)),
    ],
)
def test_the_bars_to_come_open_when_the_market_does(calendar: str, last: datetime, first: datetime) -> None:
    times = coming_times(calendar, Interval.H1, last, 30)

    assert times[0] == first
    assert len(times) == len(set(times)) == 30
    due = calendar_named(calendar).expected(Interval.H1, last, times[-1] + timedelta(hours=1))
    assert {to_numpy(time) for time in times} <= set(due)


def test_past_the_published_sessions_the_bars_go_on() -> None:
    times = coming_times("XNYS", Interval.H1, datetime(2100, 1, 1, tzinfo=UTC), 3)

    assert list(times) == [datetime(2100, 1, 1, hour, tzinfo=UTC) for hour in (1, 2, 3)]


def test_hours_ahead_follow_the_calendar_over_a_weekend() -> None:
    friday = datetime(2024, 1, 5, 21, tzinfo=UTC)
    table = candle_table(friday - timedelta(hours=40), list(wavy_closes(41)))

    history = history_of(candles(table, symbol="EURUSD"), "forex")

    assert history.last_time == friday
    assert past_of([history], 100, 2).coming[0].tolist() == [6 * 24 + 17, 6 * 24 + 18]
