"""The import job: lines on stdout, an exit status, and the graph only where it is needed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deployments.common.errors import Unavailable
from deployments.market_data.ingest.history import ManagedMarket as Market
from deployments.market_data.models import (
    SYMBOL_CANDLE_SCHEMA,
    Interval,
    ManagedSymbol,
    SymbolDraft,
)
from deployments.market_data.symbols.names import guess_draft
from jobs.import_candles import main
from tests.fakes.candle_sources import ListSource
from tests.fakes.market_data import FakeMarketData, walk_table

START = datetime(2024, 1, 1, tzinfo=UTC)
BARS = 48
NOW = START + timedelta(days=30)
HISTORY = walk_table(START, BARS)


@pytest.fixture
def candles(tmp_path: Path) -> Path:
    table = walk_table(START, BARS)
    path = tmp_path / "candles.parquet"
    named = pa.table([pa.array(["BTCUSD"] * BARS), *table.columns], schema=SYMBOL_CANDLE_SCHEMA)
    pq.write_table(named, path)
    return path


def no_graph() -> Market:
    raise Unavailable("no running graph")


def test_a_file_is_imported_and_the_outcome_said(candles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    market = FakeMarketData({}, START)
    assert main([str(candles)], lambda: market) == 0
    assert market.tables["BTCUSD"].num_rows == BARS
    summary, progress, outcome = capsys.readouterr().out.splitlines()
    assert summary == "48 candles of 1h from 2024-01-01 00:00 to 2024-01-02 23:00 UTC: BTCUSD"
    assert progress == "100 %  48 of 48 rows"
    assert outcome == "48 new, 0 changed, 0 as before, 0 quarantined"


def test_importing_again_changes_nothing(candles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    market = FakeMarketData({}, START)
    main([str(candles)], lambda: market)
    main([str(candles)], lambda: market)
    assert capsys.readouterr().out.endswith("0 new, 0 changed, 48 as before, 0 quarantined\n")


def test_a_dry_run_says_for_each_symbol_what_would_change_and_changes_nothing(
    candles: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    market = FakeMarketData({"BTCUSD": walk_table(START, 10)}, START)
    assert main([str(candles), "--dry-run"], lambda: market) == 0
    assert market.tables["BTCUSD"].num_rows == 10
    assert capsys.readouterr().out.splitlines()[1:] == ["BTCUSD: 38 new, 0 changed, 10 as before, 0 quarantined"]


def test_several_files_are_all_checked_before_the_first_is_sent(candles: Path, tmp_path: Path) -> None:
    market = FakeMarketData({}, START)
    broken = tmp_path / "broken.csv"
    broken.write_text("symbol,time,open,high,low,close,volume\nBTCUSD,soon,1,1,1,1,1\n")
    assert main([str(candles), str(broken)], lambda: market) == 2
    assert market.tables == {}
    assert main([str(candles), str(candles)], lambda: market) == 0
    assert market.tables["BTCUSD"].num_rows == BARS


class Source(ListSource):
    """A market that lists what it has."""

    is_closed = False

    async def drafts(self) -> tuple[SymbolDraft, ...]:
        return tuple(replace(guess_draft(name), exchange="TEST") for name in self.tables)

    async def aclose(self) -> None:
        self.is_closed = True


class ManagedMarket(FakeMarketData):
    """Remember which symbols were made."""

    def __init__(self, tables: dict[str, pa.Table]) -> None:
        super().__init__(tables, NOW)
        self.created: list[SymbolDraft] = []

    async def create_symbol(self, draft: SymbolDraft) -> ManagedSymbol:
        self.created.append(draft)
        return await super().create_symbol(draft)


def run(market: ManagedMarket, source: Source, *options: str) -> int:
    return main(["--from-easyinsight", *options], lambda: market, lambda: source, lambda: NOW)


def test_history_of_named_symbols_comes_from_easyinsight_and_they_become_managed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    market, source = ManagedMarket({}), Source(dict.fromkeys(["BTCUSD", "ETHUSD", "XRPUSD"], HISTORY))
    assert run(market, source, "--symbols", "btc/usd, ETHUSD") == 0
    assert {name: table.num_rows for name, table in market.tables.items()} == {"BTCUSD": BARS, "ETHUSD": BARS}
    assert [draft.exchange for draft in market.created] == ["TEST", "TEST"]
    assert source.is_closed
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        f"{who}: {new} new, 0 changed, 0 as before, 0 quarantined"
        for who, new in (("BTCUSD", BARS), ("ETHUSD", BARS), ("all", 2 * BARS))
    ]


def test_without_names_every_enabled_symbol_is_filled_within_the_window(capsys: pytest.CaptureFixture[str]) -> None:
    market, source = ManagedMarket({"BTCUSD": HISTORY.slice(20, 4)}), Source({"BTCUSD": HISTORY})
    window = ["--start", "2024-01-01T10:00", "--end", "2024-01-02T12:00:00Z"]
    assert run(market, source, *window, "--direction", "backward") == 0
    assert market.tables["BTCUSD"].equals(HISTORY.slice(10, 14))
    assert run(market, source, *window, "--dry-run") == 0
    assert market.tables["BTCUSD"].num_rows == 14
    assert capsys.readouterr().out.splitlines()[-1] == "BTCUSD: 12 new, 0 changed, 3 as before, 0 quarantined"
    assert run(market, source, *window, "--direction", "forward") == 0
    assert market.tables["BTCUSD"].equals(HISTORY.slice(10, 26))


def test_a_symbol_that_easyinsight_lacks_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ManagedMarket({}), Source({"BTCUSD": HISTORY}), "--symbols", "ETHUSD") == 2
    assert "import refused" in capsys.readouterr().err


def test_a_time_that_is_none_is_refused_with_its_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ManagedMarket({}), Source({}), "--start", "yesterday") == 2
    assert "--start" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["a.csv", "--from-easyinsight"]])
def test_files_and_easyinsight_exclude_each_other(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_the_interval_given_wins_over_the_spacing(candles: Path) -> None:
    market = FakeMarketData({}, START, Interval.M5)
    assert main([str(candles), "--interval", "5m"], lambda: market) == 0


@pytest.mark.parametrize("arguments", [["nowhere.csv"], ["nowhere.xlsx", "--dry-run"]])
def test_a_file_that_cannot_be_read_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments, no_graph) == 2
    assert "import refused: nowhere" in capsys.readouterr().err


def test_without_a_graph_the_job_says_so(candles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(candles)], no_graph) == 2
    assert capsys.readouterr().err == "import refused: no running graph\n"
