"""The journal: nothing stored twice, nothing lost while the table is away."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from deployments.forecasting.issued import IssuedForecast
from deployments.forecasting.serving.journal import MAX_STEPS, ForecastJournal
from tests.fakes.forecasting import issued_forecast

START = datetime(2024, 4, 1, tzinfo=UTC)


class ListTable:
    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.away = False

    def append(self, issued: Sequence[IssuedForecast]) -> int:
        if self.away:
            raise OSError("disk full")
        self.batches.append([one.key for one in issued])
        return len(issued)


async def test_forecasts_are_stored_in_one_batch_and_each_once() -> None:
    table = ListTable()
    journal = ForecastJournal(table)
    first, second = issued_forecast("BTCUSD", START), issued_forecast("ETHUSD", START)
    for one in (first, second, first):
        journal.add(one)
    await journal.flush()
    journal.add(second)
    await journal.flush()
    assert table.batches == [[first.key, second.key]]


async def test_forecasts_wait_while_the_table_is_away() -> None:
    table = ListTable()
    journal = ForecastJournal(table)
    one = issued_forecast("BTCUSD", START)
    journal.add(one)
    table.away = True
    await journal.flush()
    table.away = False
    await journal.flush()
    assert table.batches == [[one.key]]


async def test_oldest_are_dropped_when_too_many_steps_wait() -> None:
    table = ListTable()
    journal = ForecastJournal(table)
    template = issued_forecast("BTCUSD", START, horizon=168)
    most = MAX_STEPS // 168
    for _ in range(2):
        for hour in range(most + 2):
            journal.add(_at(template, START + timedelta(hours=hour)))
        await journal.flush()
    assert len(table.batches[0]) == most
    assert table.batches[0][0] == _at(template, START + timedelta(hours=2)).key
    assert table.batches[1] == [_at(template, START + timedelta(hours=hour)).key for hour in (0, 1)]


def _at(one: IssuedForecast, last_time: datetime) -> IssuedForecast:
    return IssuedForecast(one.forecast, last_time, one.last_close, one.scale, one.quantiles, one.baseline)
