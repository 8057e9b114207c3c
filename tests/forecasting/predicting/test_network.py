"""The network: its starting point, the order of its outputs, its randomness, and the library's own prediction."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from deployments.forecasting.predicting import network
from deployments.forecasting.predicting.ensemble import Ensemble
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.quantiles import QUANTILES

SHAPE = NetworkConfig(input_size=48, horizon=12, regimes=3, width=32)
PLAIN = NetworkConfig(input_size=48, horizon=12, regimes=0, width=32)


def shaken(seed: int = 5) -> torch.nn.Module:
    """Return a network with weights everywhere, so that it answers something."""
    module = network.build(SHAPE)
    generator = np.random.default_rng(seed)
    weights = {
        name: generator.normal(0, 0.1, weight.shape).astype(np.float32)
        for name, weight in network.weights_of(module).items()
    }
    return network.with_weights(module, weights).eval()


def test_a_fresh_network_answers_zero_where_the_price_stands_still() -> None:
    module = network.build(SHAPE)
    path = torch.randn(3, 48)
    path[:, -1] = 0

    answer = network.forward(module, path, torch.ones(3, 48), torch.randn(3, 3))

    assert answer.shape == (3, 12, 9)
    assert not answer.any()


def test_the_order_makes_the_librarys_quantiles_ascend() -> None:
    module = network.build(SHAPE)

    order = network.ascending_order(module)

    library: torch.Tensor = network._inner(module).loss.quantiles
    np.testing.assert_allclose(library[order].numpy(), QUANTILES, atol=1e-6)


def test_the_seed_alone_decides_the_weights_and_the_process_keeps_its_randomness() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = (random.random(), np.random.random(), float(torch.rand(())))
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)

    first, same, other = (network.weights_of(network.build(SHAPE, seed=seed)) for seed in (7, 7, 8))

    assert (random.random(), np.random.random(), float(torch.rand(()))) == expected
    assert all((first[name] == same[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)


def test_weights_of_another_shape_are_refused() -> None:
    weights = network.weights_of(network.build(NetworkConfig(input_size=48, horizon=12, regimes=3, width=16)))

    with pytest.raises(RuntimeError):
        network.with_weights(network.build(SHAPE), weights)


def test_a_shape_survives_json() -> None:
    assert NetworkConfig.from_dict(SHAPE.as_dict()) == SHAPE


def test_a_network_without_regimes_reads_the_path_alone() -> None:
    module = network.build(PLAIN)

    answer = network.forward(module, torch.randn(3, 48), torch.ones(3, 48), None)

    assert answer.shape == (3, 12, 9)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("history", ["whole", "short", "holes"])
@pytest.mark.parametrize("series", [1, 256])
def test_the_forward_pass_and_what_serves_equal_the_librarys_own_predict(series: int, history: str) -> None:
    module = shaken()
    generator = np.random.default_rng(2)
    bars = 20 if history == "short" else 48
    path = generator.normal(0, 1, (series, bars)).astype(np.float32)
    mask = np.ones_like(path) if history != "holes" else (generator.random(path.shape) < 0.8).astype(np.float32)
    mask[:, -1] = 1
    path *= mask
    regime = generator.normal(0, 1, (series, 3)).astype(np.float32)

    theirs = predicted(module, path, mask, regime)

    before = ((0, 0), (48 - bars, 0))
    tensors = [torch.from_numpy(each) for each in (np.pad(path, before), np.pad(mask, before), regime)]
    with torch.inference_mode():
        ours = network.forward(module, *tensors).numpy()
        served = Ensemble([module], SHAPE)(*tensors).numpy()
    # Relative to the answer of the series: single quantiles may lie anywhere near zero.
    size = np.abs(theirs).max(axis=(1, 2), keepdims=True)
    assert (np.abs(ours - theirs) / size).max() <= 1e-6
    assert (np.abs(served - theirs[..., network.ascending_order(module).numpy()]) / size).max() <= 1e-6


def predicted(module: torch.nn.Module, path: np.ndarray, mask: np.ndarray, regime: np.ndarray) -> np.ndarray:
    """Return what `NeuralForecast.predict` says with the module's weights."""
    import pandas as pd
    from neuralforecast import NeuralForecast
    from neuralforecast.models import NHITS

    series, bars = path.shape
    ids = [f"s{number:03d}" for number in range(series)]
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(ids, bars),
            "ds": np.tile(pd.date_range("2024-01-01", periods=bars, freq="h"), series),
            "y": path.ravel(),
            "available_mask": mask.ravel(),
        }
    )
    static = pd.DataFrame({"unique_id": ids, **{f"regime{n}": regime[:, n] for n in range(3)}})
    forecaster = NeuralForecast([NHITS(**{**network.arguments(SHAPE), "max_steps": 1})], freq="h")
    # The library fits only on series longer than a window; what it learns is replaced at once.
    longer = pd.concat([frame.assign(ds=frame["ds"] + pd.Timedelta(hours=bars * times)) for times in range(6)])
    forecaster.fit(longer, static_df=static)
    network.with_weights(forecaster.models[0], network.weights_of(module))
    answer = forecaster.predict(frame, static_df=static)
    columns = [name for name in answer.columns if name.startswith("NHITS")]
    numbers: np.ndarray = answer[columns].to_numpy().reshape(series, 12, 9)
    return numbers


def test_a_network_of_the_whole_grid_answers_it_as_it_is() -> None:
    assert (network.on_grid(SHAPE).numpy() == np.eye(len(QUANTILES))).all()


def test_a_network_of_few_quantiles_answers_the_whole_grid() -> None:
    few = replace(SHAPE, quantiles=(0.1, 0.5, 0.9))
    answer = torch.tensor([-1.0, 0.0, 2.0]) @ network.on_grid(few)
    assert answer[[0, 1, 2, 4, 6, 7, 8]].tolist() == pytest.approx([-1, -1, -1, 0, 2, 2, 2])
    assert -1 < float(answer[3]) < 0 < float(answer[5]) < 2
    assert NetworkConfig.from_dict(few.as_dict()) == few
