"""The predictor: shapes, order, units, threads, and what it refuses."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from deployments.common.errors import DamagedModel
from deployments.forecasting import network
from deployments.forecasting.baselines import ewma_quantiles
from deployments.forecasting.calibration import Calibration
from deployments.forecasting.network import NetworkConfig, Tensors
from deployments.forecasting.predictor import Predictor, tensors_of
from deployments.forecasting.quantiles import FloatArray
from deployments.forecasting.recipe import Prior
from tests.fakes.panels import wavy_closes

SHAPE = NetworkConfig(input_size=48, horizon=12, width=32)
CONFIG = {"network": SHAPE.as_dict()}
LEVELS = np.array([-2.0, -1.6, -1.2, -0.6, 0.0, 0.6, 1.2, 1.6, 2.0])


def artefact(blend: float = 1.0, seed: int = 5) -> Tensors:
    """Return the tensors of a model with random weights, whose raw quantiles therefore cross now and then."""
    generator = np.random.default_rng(seed)
    weights = {
        name: generator.normal(0, 0.1, weight.shape).astype(np.float32)
        for name, weight in network.weights_of(network.build(SHAPE)).items()
    }
    prior = Prior(generator.normal(0, 0.1, (12, 4)), np.tile(LEVELS, (12, 1)))
    return tensors_of(weights, prior, Calibration(np.full((12, 9), 1.1), blend))


def histories(n: int = 5, bars: int = 600) -> FloatArray:
    return np.stack([np.log(wavy_closes(bars, seed)) for seed in range(n)])


def test_quantiles_ascend_and_have_one_row_per_window_and_step() -> None:
    quantiles = Predictor(artefact(), CONFIG).quantiles(histories())

    assert quantiles.shape == (5, 12, 9)
    assert quantiles.dtype == np.float64
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_without_the_models_part_the_baseline_answers() -> None:
    predictor = Predictor(artefact(blend=0.0), CONFIG)

    np.testing.assert_allclose(
        predictor.quantiles(histories()), ewma_quantiles(histories()[:, -predictor.history_bars :], 12), rtol=1e-12
    )


def test_a_window_is_forecast_alike_alone_and_among_others() -> None:
    predictor = Predictor(artefact(), CONFIG)
    together = predictor.quantiles(histories())

    for index, alone in enumerate(histories()):
        np.testing.assert_allclose(predictor.quantiles(alone[None])[0], together[index], rtol=1e-6)


def test_bars_older_than_history_bars_change_nothing() -> None:
    predictor = Predictor(artefact(), CONFIG)
    cut = histories()[:, -predictor.history_bars :]

    np.testing.assert_array_equal(predictor.quantiles(histories()), predictor.quantiles(cut))


@pytest.mark.parametrize("bars", [48, 49, 100])
def test_a_short_history_is_enough(bars: int) -> None:
    quantiles = Predictor(artefact(), CONFIG).quantiles(histories()[:, -bars:])

    assert np.isfinite(quantiles).all()


def test_the_price_unit_does_not_matter() -> None:
    predictor = Predictor(artefact(), CONFIG)
    moved = predictor.quantiles(histories() + np.log(1e6))

    np.testing.assert_allclose(moved - np.log(1e6), predictor.quantiles(histories()), atol=1e-6)


def test_constant_prices_and_a_jump_give_finite_quantiles() -> None:
    flat = np.full((1, 200), 4.6)
    jump = np.concatenate([flat, flat + np.log(1_000)], axis=1)

    for history in (flat, jump):
        assert np.isfinite(Predictor(artefact(), CONFIG).quantiles(history)).all()


@pytest.mark.parametrize("history", [np.zeros((1, 47)), np.zeros(48), np.full((1, 48), np.nan)])
def test_what_cannot_be_forecast_is_refused(history: FloatArray) -> None:
    with pytest.raises(ValueError, match="log closes"):
        Predictor(artefact(), CONFIG).quantiles(history)


def test_an_artefact_that_is_no_model_is_damaged() -> None:
    tensors = artefact()
    del tensors["prior.levels"]

    for config, parts in ((CONFIG, tensors), ({}, artefact()), ({"network": {"pooling": [], "width": 3}}, artefact())):
        with pytest.raises(DamagedModel):
            Predictor(parts, config)


def test_many_threads_get_the_same_answers_as_one() -> None:
    predictor = Predictor(artefact(), CONFIG)
    windows = list(histories(16))
    expected = [predictor.quantiles(window[None]) for window in windows]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda window: predictor.quantiles(window[None]), windows * 4))

    for index, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, expected[index % 16])


def test_building_a_model_does_not_touch_the_artefact() -> None:
    tensors = artefact()
    before = {name: tensor.copy() for name, tensor in tensors.items()}

    Predictor(tensors, CONFIG).quantiles(histories())

    assert all((tensors[name] == before[name]).all() for name in before)
