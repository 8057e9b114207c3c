"""The backtest job on candles in memory and a real registry."""

from datetime import timedelta
from pathlib import Path

import pytest

from deployments.forecasting.models import Decision, ModelCard
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.training.fitting import fit
from deployments.forecasting.training.loop import TrainingConfig
from jobs.backtest import main
from tests.fakes.forecasting import TRAINED_AT, model_card
from tests.fakes.market_data import FakeMarketData
from tests.fakes.panels import START, wavy_panel, wavy_tables

SHAPE = NetworkConfig(input_size=48, horizon=6, width=16)
BARS = 1_500


@pytest.fixture
def champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    monkeypatch.setenv("CANDLECAST_HOME", str(tmp_path))
    fitted = fit(wavy_panel(BARS), SHAPE, TrainingConfig(max_steps=3, batch=64))
    registry = Registry(tmp_path / "models")
    card = registry.publish(fitted.tensors, model_card(horizon=6, input_size=48, **fitted.config))
    registry.promote(card.version, Decision("", "promote", "good", TRAINED_AT))
    return card


def market() -> FakeMarketData:
    return FakeMarketData(wavy_tables(BARS), START + timedelta(hours=BARS))


def test_champion_is_scored_beside_every_baseline_by_symbol_and_step(
    champion: ModelCard, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--horizon", "6", "--days", "10"], market) == 0
    told = capsys.readouterr().out
    assert f"version {champion.version}, " in told
    for name in ("ewma", "har_season", "drift", "seasonal_naive", "AAAUSD", "BBBUSD", "step 1", "step 6"):
        assert any(line.startswith(name) for line in told.splitlines())
    assert "it has seen some of these bars" in told


def test_named_version_and_symbols_are_used(champion: ModelCard, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([champion.version, "--days", "10", "--symbols", "BBBUSD"], market) == 0
    assert "AAAUSD" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--horizon", "24"], "no model for 24 bars"),
        (["20240301T120000Z-abcdef"], "no model version"),
        (["--horizon", "6", "--days", "0.5"], "a backtest needs 64"),
    ],
)
def test_backtest_that_cannot_be_says_why(
    champion: ModelCard, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert main(arguments, market) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("days", ["-1", "0", "nan", "1e9", "soon"])
def test_days_that_are_no_length_are_refused_before_anything_is_read(
    days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def never() -> FakeMarketData:
        raise AssertionError("nothing is to be read")

    with pytest.raises(SystemExit) as ended:
        main(["--days", days], never)
    assert ended.value.code == 2
    assert "number of days above 0" in capsys.readouterr().err
