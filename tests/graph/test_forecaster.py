"""The forecaster's shells on a small cluster: twenty swaps under load, a torn champion, the keeper, and a job."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from deployments.common.errors import CandlecastError
from deployments.forecasting.client import ForecasterClient
from deployments.forecasting.keeping.loop import read_status
from deployments.forecasting.models import Decision, Forecast, ForecastRequest, KeeperState, ModelCard
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.registry.artefact import Tensors
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.registry.storage import LocalStorage
from deployments.forecasting.registry.succession import ChampionPointer, Succession
from deployments.forecasting.training.fitting import Fitted, fit
from deployments.forecasting.training.loop import TrainingConfig
from deployments.local_stack import processes
from deployments.local_stack.home import StackHome
from deployments.market_data.models import CandleQuery, Candles, ManagedSymbol, SymbolFilter, SymbolPage
from tests.fakes.forecasting import model_card
from tests.fakes.market_data import FakeMarketData
from tests.fakes.panels import START, wavy_panel, wavy_tables
from tests.running_stack import RunningStack, until

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).resolve().parents[2]
BARS = 1_500
SYMBOLS = ("AAAUSD", "BBBUSD")
SHAPE = NetworkConfig(input_size=48, horizon=6, width=16)
SWAPS = 20
CLIENTS = 8
REQUEST = ForecastRequest("", horizon=6)


class MarketData:
    """The few methods of the deployment that the forecaster and its keeper call."""

    def __init__(self) -> None:
        self._market = FakeMarketData(wavy_tables(BARS), START + timedelta(hours=BARS, minutes=5))

    async def candles(self, query: CandleQuery) -> Candles:
        return await self._market.candles(query)

    async def candles_batch(self, symbols: tuple[str, ...], query: CandleQuery) -> dict[str, Candles | CandlecastError]:
        return await self._market.candles_batch(symbols, query)

    async def managed_symbol(self, symbol: str) -> ManagedSymbol:
        return await self._market.managed_symbol(symbol)

    async def managed_symbols(self, wanted: SymbolFilter) -> SymbolPage:
        return await self._market.managed_symbols(wanted)


class Versions:
    """Publishes real models that stretch their intervals differently, so that an answer tells its version."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.card = model_card(datetime.now(UTC), horizon=SHAPE.horizon, input_size=SHAPE.input_size)
        self.fitted: Fitted = fit(wavy_panel(BARS), SHAPE, TrainingConfig(max_steps=3, batch=64))
        self.stretches: dict[str, float] = {}

    def publish(self, number: int) -> ModelCard:
        stretch = 1 + number / 20
        tensors: Tensors = dict(self.fitted.tensors)
        tensors["calibration.stretch"] = np.full((SHAPE.horizon, 9), stretch)
        tensors["calibration.blend"] = np.array([1.0])
        card = replace(
            self.card, config=self.fitted.config, trained_at=self.card.trained_at + timedelta(seconds=number)
        )
        published = self.registry.publish(tensors, card)
        self.stretches[published.version] = stretch
        return published


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(Registry(tmp_path / "models"))


@pytest.fixture
def forecaster(tmp_path: Path, versions: Versions) -> Iterator[ForecasterClient]:
    """Two replicas of the real shell and its keeper, with a champion, on a cluster of their own."""
    import ray
    from ray import serve
    from ray.serve.config import DeploymentActorConfig

    from deployments.forecasting.deployment import Forecaster, ForecastKeeper

    first = versions.publish(0)
    versions.registry.promote(first.version, Decision("", "promote", "first", first.trained_at))
    keeper = {
        "home": str(tmp_path),
        "registry": "",
        "interval_s": 1.0,
        "issue": True,
        "retrain_days": 0.0,
        "keep_versions": 10,
        "keep_days": 30.0,
    }
    actor = DeploymentActorConfig(
        name="ForecastKeeper", actor_class=ForecastKeeper, init_kwargs=keeper, actor_options={"num_cpus": 0}
    )
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ray.init(
        address="local", num_cpus=4, include_dashboard=False, runtime_env={"env_vars": environment}, log_to_driver=False
    )
    try:
        serve.start(http_options={"location": "NoServer"})
        market = serve.deployment(MarketData).options(ray_actor_options={"num_cpus": 0.1})
        shell: Any = Forecaster
        served = shell.options(
            num_replicas=2, max_ongoing_requests=128, ray_actor_options={"num_cpus": 0.1}, deployment_actors=[actor]
        )
        serve.run(
            served.bind(
                home=str(tmp_path), device="cpu", training_gpu_share=0.0, registry="", market_data=market.bind()
            ),
            name="candlecast",
        )
        yield ForecasterClient(serve.get_deployment_handle("Forecaster", "candlecast"), 60.0)
    finally:
        serve.shutdown()
        ray.shutdown()


async def test_swaps_under_load_fail_no_request_and_mix_no_versions(
    forecaster: ForecasterClient, versions: Versions
) -> None:
    answers: list[dict[str, Forecast]] = []
    over = asyncio.Event()
    tasks = [asyncio.create_task(_ask(forecaster, number, answers, over)) for number in range(CLIENTS)]
    for number in range(1, SWAPS + 1):
        card = await asyncio.to_thread(versions.publish, number)
        await forecaster.promote(card.version, True)
        await _heard(answers, len(answers) + CLIENTS, tasks)
    over.set()
    await asyncio.gather(*tasks)

    spoken = _versions_of(answers, versions)
    assert len(spoken) > SWAPS / 2
    last = (await forecaster.forecast(replace(REQUEST, symbol=SYMBOLS[0]))).model.version
    assert last in list(versions.stretches)[-2:]


async def test_torn_champion_leaves_the_former_serving_in_every_replica(
    forecaster: ForecasterClient, versions: Versions, tmp_path: Path
) -> None:
    good = versions.registry.champions()["1h-h6"]
    torn = versions.publish(1)
    path = tmp_path / "models" / "1h-h6" / torn.version / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    # Past the registry, which promotes nothing damaged: damaged after its promotion, a replica might have it whole.
    succession = Succession(LocalStorage(tmp_path / "models"), "1h-h6")
    succession.crown(ChampionPointer(torn.version, (good,)), Decision("", "promote", "better", torn.trained_at))

    await _until(lambda: _reasons(forecaster), lambda reasons: all("sha256" in reason for reason in reasons))
    for _ in range(10):
        answer = await forecaster.forecast(replace(REQUEST, symbol=SYMBOLS[0]))
        assert answer.model.version == good


async def test_keeper_issues_resolves_and_tells_how_it_stands(forecaster: ForecasterClient, tmp_path: Path) -> None:
    async def status() -> Any:
        return await asyncio.to_thread(read_status, tmp_path / "keeper.json")

    found = await _until(status, lambda status: status is not None and status.issued == len(SYMBOLS))
    assert (found.state, found.error) == (KeeperState.KEEPING, "")
    health = await forecaster.health()
    assert health.keeper is not None
    assert health.reason == ""
    assert (tmp_path / "recalibration").is_dir()


def test_two_equal_requests_are_one_job_and_deleting_it_ends_it_with_nothing_published(stack: RunningStack) -> None:
    body = {"symbols": ["BTCUSD", "ETHUSD"], "horizon": 6, "max_steps": 20_000}
    with stack.api() as api, ThreadPoolExecutor(4) as pool:
        before = api.get("/api/v1/models").json()
        answers = list(pool.map(lambda _: api.post("/api/v1/training", json=body), range(4)))
        [path] = {answer.headers["Location"] for answer in answers}
        until(lambda: api.get(path).json()["step"] > 0, 240, "the first checked step")
        assert _processes_of(stack, path.rpartition("/")[2])
        answered = api.delete(path).status_code
        until(lambda: api.get(path).json()["state"] == "stopped", 60, "the run's end")
        until(lambda: not _processes_of(stack, path.rpartition("/")[2]), 60, "the job's end")

        assert (answered, {answer.status_code for answer in answers}) == (200, {202})
        run = api.get(path).json()
        assert (run["state"], run["version"], run["error"]) == ("stopped", None, "")
        assert api.get("/api/v1/models").json() == before
        assert not (stack.home / "models" / "1h-h6").exists()
        assert api.delete(path).json() == run


def _processes_of(stack: RunningStack, run_id: str) -> list[str]:
    """Return the command lines of what still runs of a training job: its driver, Ray Train's controller, workers."""
    state = StackHome(stack.home).read_state()
    assert state is not None
    lines = []
    for member in [member for process in state.processes for member in processes.members(process)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            lines.append(" ".join(member.cmdline()))
    return [line for line in lines if any(name in line for name in (run_id, "TrainController", "RayTrainWorker"))]


async def _ask(
    forecaster: ForecasterClient, number: int, answers: list[dict[str, Forecast]], over: asyncio.Event
) -> None:
    symbol = SYMBOLS[number % 2]
    while not over.is_set():
        answers.append({symbol: await forecaster.forecast(replace(REQUEST, symbol=symbol))})
        many = await forecaster.forecast_batch(SYMBOLS, REQUEST)
        assert all(isinstance(answer, Forecast) for answer in many.values())
        answers.append({name: answer for name, answer in many.items() if isinstance(answer, Forecast)})


def _versions_of(answers: Sequence[dict[str, Forecast]], versions: Versions) -> Counter[str]:
    """Check that each answer is of one version, and that its intervals are as wide as that version makes them."""
    spoken: Counter[str] = Counter()
    unit: dict[str, float] = {}
    for answer in answers:
        [version] = {forecast.model.version for forecast in answer.values()}
        assert version is not None
        for symbol, forecast in answer.items():
            point = forecast.points[0]
            width = np.log(point.upper["80"] / point.lower["80"]) / versions.stretches[version]
            assert width == pytest.approx(unit.setdefault(symbol, width), rel=1e-6)
        spoken[version] += 1
    return spoken


async def _reasons(forecaster: ForecasterClient) -> list[str]:
    return [(await forecaster.health()).reason for _ in range(8)]


async def _heard(answers: list[Any], count: int, tasks: Sequence["asyncio.Task[None]"]) -> None:
    deadline = time.monotonic() + 60
    while len(answers) < count:
        assert not any(task.done() for task in tasks), "a client has failed"
        assert time.monotonic() < deadline, "the answers never came"
        await asyncio.sleep(0.01)


async def _until(ask: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + 60
    while not holds(found := await ask()):
        assert time.monotonic() < deadline, f"never came to hold: {found}"
        await asyncio.sleep(0.1)
    return found
