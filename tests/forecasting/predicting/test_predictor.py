"""The predictor: shapes, order, units, threads, and what it refuses."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deployments.common.errors import DamagedModel
from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.baselines import ewma_quantiles
from deployments.forecasting.predicting.calibration import Calibration
from deployments.forecasting.predicting.network import NetworkConfig, Tensors
from deployments.forecasting.predicting.predictor import FORMAT, Predictor, tensors_of
from deployments.forecasting.predicting.recipe import Prior, Seasons
from deployments.forecasting.series.panel import panel_of
from deployments.forecasting.series.scale import HISTORY_BARS, REGIMES, ScaleFit
from deployments.forecasting.series.windows import Past, windows_at
from deployments.market_data.models import Interval
from tests.fakes.market_data import candle_table
from tests.fakes.panels import START, wavy_closes

SHAPE = NetworkConfig(input_size=48, horizon=12, width=32)
CONFIG: dict[str, Any] = {
    "format": FORMAT,
    "network": SHAPE.as_dict(),
    "training": {"members": 2},
    "calendars": ["24/7"],
}
LEVELS = np.array([-2.0, -1.6, -1.2, -0.6, 0.0, 0.6, 1.2, 1.6, 2.0])


def artefact(blend: float = 1.0, seed: int = 5) -> Tensors:
    """Return the tensors of a model with random weights, whose raw quantiles therefore cross now and then."""
    generator = np.random.default_rng(seed)
    members = tuple(
        {
            name: generator.normal(0, 0.1, weight.shape).astype(np.float32)
            for name, weight in network.weights_of(network.build(SHAPE)).items()
        }
        for _ in range(2)
    )
    fit = ScaleFit(np.zeros(REGIMES), np.ones(REGIMES), generator.normal(0, 0.05, (12, 1 + REGIMES)))
    season = Seasons(("24/7",), generator.uniform(0.5, 1.5, (1, 168)))
    prior = Prior(season, fit, np.tile(LEVELS, (12, 1)))
    return tensors_of(members, prior, Calibration(np.full((12, 9), 1.1), blend))


def pasts(n: int = 5, bars: int = 1_200, factor: float = 1.0, read: int = HISTORY_BARS) -> Past:
    names = tuple(f"S{chr(65 + seed)}SUSD" for seed in range(n))
    tables = {name: candle_table(START, list(factor * wavy_closes(bars, seed))) for seed, name in enumerate(names)}
    panel = panel_of(tables, Interval.H1)
    return windows_at(panel, panel.offsets[1:] - 13, read, 12).past


def test_quantiles_ascend_and_have_one_row_per_window_and_step() -> None:
    quantiles = Predictor(artefact(), CONFIG).quantiles(pasts())

    assert quantiles.shape == (5, 12, 9)
    assert quantiles.dtype == np.float64
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_without_the_models_part_the_baseline_answers() -> None:
    past = pasts()

    served = Predictor(artefact(blend=0.0), CONFIG).quantiles(past)

    np.testing.assert_allclose(served, ewma_quantiles(past.log_closes, 12), rtol=1e-12)


def test_an_answer_that_is_all_the_models_is_what_the_blend_would_make_of_it() -> None:
    past, whole = pasts(), Predictor(artefact(blend=1.0), CONFIG).quantiles(pasts())

    half = Predictor(artefact(blend=0.5), CONFIG).quantiles(past)

    np.testing.assert_allclose(half, (whole + ewma_quantiles(past.log_closes, 12)) / 2, rtol=1e-12)


def test_a_network_without_a_share_leaves_the_answer_to_volatility() -> None:
    silent = {**artefact(), "calibration.stretch": np.ones((12, 9)), "calibration.share": np.zeros(1)}
    predictor, past = Predictor(silent, CONFIG), pasts()

    np.testing.assert_allclose(predictor.quantiles(past), predictor.prior_quantiles(past))


def test_the_share_mixes_what_the_network_and_volatility_say() -> None:
    plain = {**artefact(), "calibration.stretch": np.ones((12, 9)), "calibration.share": np.array([0.3])}
    predictor, past = Predictor(plain, CONFIG), pasts()

    halfway = 0.3 * predictor.raw_quantiles(past) + 0.7 * predictor.prior_quantiles(past)

    np.testing.assert_allclose(predictor.quantiles(past), halfway)


def test_the_network_of_an_artefact_without_a_share_speaks_alone() -> None:
    older = {name: tensor for name, tensor in artefact().items() if name != "calibration.share"}
    past = pasts()

    np.testing.assert_array_equal(
        Predictor(older, CONFIG).quantiles(past), Predictor(artefact(), CONFIG).quantiles(past)
    )


def test_without_the_networks_part_volatility_answers() -> None:
    tensors = {name: 0 * tensor if name.startswith("network.") else tensor for name, tensor in artefact().items()}
    predictor, past = Predictor(tensors, CONFIG), pasts()

    np.testing.assert_allclose(predictor.raw_quantiles(past), predictor.prior_quantiles(past))


def test_a_window_is_forecast_alike_alone_and_among_others() -> None:
    predictor, past = Predictor(artefact(), CONFIG), pasts()
    together = predictor.quantiles(past)

    for index in range(len(past)):
        np.testing.assert_allclose(predictor.quantiles(past[index : index + 1])[0], together[index], rtol=1e-6)


@pytest.mark.parametrize("bars", [48, 49, 100])
def test_a_short_history_is_enough_and_as_good_as_masked(bars: int) -> None:
    predictor, long = Predictor(artefact(), CONFIG), pasts()
    short = replace(
        long,
        log_closes=long.log_closes[:, -bars:],
        variances=long.variances[:, -bars:],
        known=long.known[:, -bars:],
        hours=long.hours[:, -bars:],
    )
    masked = replace(long, known=long.known & (np.arange(HISTORY_BARS) >= HISTORY_BARS - bars))

    quantiles = predictor.quantiles(short)

    assert np.isfinite(quantiles).all()
    np.testing.assert_allclose(predictor.quantiles(masked), quantiles, rtol=1e-6)


def test_the_price_unit_does_not_matter() -> None:
    predictor = Predictor(artefact(), CONFIG)

    np.testing.assert_allclose(
        predictor.quantiles(pasts(factor=1e6)) - np.log(1e6), predictor.quantiles(pasts()), atol=1e-6
    )


def test_an_unknown_calendar_has_no_season() -> None:
    predictor, past = Predictor(artefact(), CONFIG), pasts()

    elsewhere = predictor.quantiles(replace(past, calendars=np.array(5 * ["XNYS"])))

    assert np.isfinite(elsewhere).all()
    assert not np.allclose(elsewhere, predictor.quantiles(past))


def test_what_cannot_be_forecast_is_refused() -> None:
    predictor, past = Predictor(artefact(), CONFIG), pasts()
    closes = past.log_closes.copy()
    closes[0, 7] = np.nan

    for wrong in (
        pasts(read=47),
        replace(past, coming=past.coming[:, :11]),
        replace(past, log_closes=closes),
        replace(past, variances=closes),
    ):
        with pytest.raises(ValueError, match=r"needs 48 bars|must be finite"):
            predictor.quantiles(wrong)


def test_an_artefact_of_an_older_format_is_refused_saying_so() -> None:
    older = {name: value for name, value in CONFIG.items() if name != "format"}

    with pytest.raises(DamagedModel, match="format 1 and this version reads format 2"):
        Predictor(artefact(), older)


def test_an_artefact_that_is_no_model_is_damaged() -> None:
    without = artefact()
    del without["prior.levels"]
    foreign = {**artefact(), "scale.weights": np.zeros((12, 4))}
    halved = {name: tensor for name, tensor in artefact().items() if not name.startswith("network.1.")}

    for config, parts in (
        (CONFIG, without),
        (CONFIG, foreign),
        (CONFIG, halved),
        ({"format": FORMAT}, artefact()),
        ({**CONFIG, "calendars": ["24/7", "forex"]}, artefact()),
        ({**CONFIG, "training": {"members": 0}}, artefact()),
        ({**CONFIG, "network": {"pooling": [], "width": 3}}, artefact()),
        ({**CONFIG, "network": SHAPE.as_dict() | {"horizon": 24}}, artefact()),
    ):
        with pytest.raises(DamagedModel):
            Predictor(parts, config)


def test_many_threads_get_the_same_answers_as_one() -> None:
    predictor, past = Predictor(artefact(), CONFIG), pasts(8)
    windows = [past[index : index + 1] for index in range(8)]
    expected = [predictor.quantiles(window) for window in windows]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(predictor.quantiles, windows * 4))

    for index, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, expected[index % 8])


def test_building_a_model_does_not_touch_the_artefact() -> None:
    tensors = artefact()
    before = {name: tensor.copy() for name, tensor in tensors.items()}

    Predictor(tensors, CONFIG).quantiles(pasts())

    assert all((tensors[name] == before[name]).all() for name in before)
