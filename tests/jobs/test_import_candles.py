"""The import job: lines on stdout, an exit status, and the graph only where it is needed."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deployments.common.errors import Unavailable
from deployments.market_data.importing import CandleSink
from deployments.market_data.models import SYMBOL_CANDLE_SCHEMA, Interval
from jobs.import_candles import main
from tests.fakes.market_data import FakeMarketData, walk_table

START = datetime(2024, 1, 1, tzinfo=UTC)
BARS = 48


@pytest.fixture
def candles(tmp_path: Path) -> Path:
    table = walk_table(START, BARS)
    path = tmp_path / "candles.parquet"
    named = pa.table([pa.array(["BTCUSD"] * BARS), *table.columns], schema=SYMBOL_CANDLE_SCHEMA)
    pq.write_table(named, path)
    return path


def no_graph() -> CandleSink:
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


def test_a_dry_run_needs_no_graph(candles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(candles), "--dry-run"], no_graph) == 0
    assert capsys.readouterr().out.count("\n") == 1


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
