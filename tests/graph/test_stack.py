"""The whole graph on this machine: started by one command, used in every way it offers, killed and started again."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from deployments.local_stack.home import StackHome
from tests.running_stack import BARS, END, SYMBOLS, RunningStack, until

pytestmark = [pytest.mark.ray, pytest.mark.db, pytest.mark.slow, pytest.mark.timeout(600)]

DEPLOYMENTS = {"MarketData", "Forecaster", "Knowledge", "Analyst", "Gateway"}

SESSION = """
import json, ray
from ray import serve
ray.init(log_to_driver=False)
handle = serve.get_app_handle("candlecast")
forecast = handle.forecast.remote("BTCUSD", horizon=24).result(timeout_s=60)
candles = handle.candles.remote("BTCUSD", limit=3).result(timeout_s=60)
analysis = handle.analyze.remote("BTCUSD", language="de").result(timeout_s=60)
print(json.dumps([len(forecast["points"]), len(candles), analysis["language"]]))
"""


@pytest.fixture(scope="module")
def api(stack: RunningStack) -> Iterator[httpx.Client]:
    with stack.api() as client:
        yield client


def ray_dashboard(stack: RunningStack, path: str) -> Any:
    state = StackHome(stack.home).read_state()
    assert state is not None
    token = (stack.home / "ray.token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(state.ray_dashboard_url + path, headers=headers, timeout=30.0).raise_for_status().json()


def sync_is_idle(api: httpx.Client) -> bool:
    status = api.get("/api/v1/sync/status").json()
    return bool(status["passages"] and not status["busy"])


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def hits_of(api: httpx.Client, symbol: str) -> list[dict[str, Any]]:
    answer = api.get("/api/v1/knowledge/search", params={"q": "a strong rise", "symbol": symbol}).json()
    found: list[dict[str, Any]] = answer["hits"]
    return found


def test_five_deployments_are_healthy(stack: RunningStack) -> None:
    status = stack.status()

    assert status["state"] == "running"
    assert status["deployments"] == dict.fromkeys(DEPLOYMENTS, "healthy")


def test_the_ray_dashboard_shows_the_deployments_and_the_sync_actor(stack: RunningStack) -> None:
    application = ray_dashboard(stack, "/api/serve/applications/")["applications"]["candlecast"]
    actors = ray_dashboard(stack, "/api/v0/actors?detail=1")["data"]["result"]["result"]

    assert {name: each["status"] for name, each in application["deployments"].items()} == dict.fromkeys(
        DEPLOYMENTS, "HEALTHY"
    )
    alive = {each["class_name"] for each in actors if each["state"] == "ALIVE"}
    assert {"KnowledgeSync", "ForecastKeeper"} <= alive


def test_the_ray_dashboard_refuses_who_has_no_token(stack: RunningStack) -> None:
    state = StackHome(stack.home).read_state()
    assert state is not None

    assert httpx.get(f"{state.ray_dashboard_url}/api/jobs/").status_code == 401


def test_candles_are_those_of_the_file(stack: RunningStack, api: httpx.Client) -> None:
    answer = api.get("/api/v1/data/ETHUSD", params={"lookback_days": 30, "end": END.isoformat()}).json()

    own = stack.candles.filter(pc.equal(stack.candles["symbol"], "ETHUSD"))
    own = own.filter(pc.greater_equal(own["time"], pa.scalar(END - timedelta(days=30)))).to_pylist()
    assert answer["count"] == len(own) == 720
    for column in ("open", "high", "low", "close", "volume"):
        assert [row[column] for row in answer["candles"]] == [row[column] for row in own]


def test_data_that_ended_say_so_everywhere(api: httpx.Client) -> None:
    candles = api.get("/api/v1/data/BTCUSD", params={"lookback_days": 1, "end": END.isoformat()}).json()
    forecast = api.get("/api/v1/forecast/BTCUSD").json()
    analysis = api.post("/api/v1/analyze", json={"symbol": "BTCUSD"}).json()

    assert candles["stale"] is True
    assert any("2024-03-01" in warning for warning in forecast["warnings"])
    assert analysis["stale"] is True
    assert candles["data_as_of"] == forecast["data_as_of"] == analysis["data_as_of"] == "2024-03-01T00:00:00Z"


def test_every_symbol_has_a_forecast_a_search_and_an_analysis(api: httpx.Client) -> None:
    until(lambda: sync_is_idle(api), 120, "a whole sync cycle")
    for symbol in SYMBOLS:
        forecast = api.get(f"/api/v1/forecast/{symbol}").json()
        until(lambda symbol=symbol: bool(hits_of(api, symbol)), 30, "a replica's look at the new table")  # type: ignore[misc]
        hits = hits_of(api, symbol)
        analysis = api.post("/api/v1/analyze", json={"symbol": symbol}).json()

        assert len(forecast["points"]) == 24
        assert {hit["symbol"] for hit in hits} == {symbol}
        answer = api.get("/api/v1/knowledge/search", params={"q": "a rise", "symbol": symbol.lower()}).json()
        analogues = api.get(f"/api/v1/analogues/{symbol}").json()
        assert (answer["stale"], analogues["stale"]) == (True, True)
        assert analysis["engine"] == "template"
        assert analysis["check"]["numbers"] == analysis["check"]["resolved"] > 0


@pytest.fixture(scope="module")
def trained(stack: RunningStack, api: httpx.Client) -> dict[str, Any]:
    """The run of a training job that was submitted from a shell."""
    before = api.get("/api/v1/forecast/BTCUSD").json()
    command = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--", "python", "-m", "jobs.train_nhits"]
    output = stack.run([*command, "--symbols", "BTCUSD,ETHUSD", "--max-steps", "50"], stack.environment())
    assert "succeeded" in output
    run: dict[str, Any] = api.get("/api/v1/training").json()["runs"][0]
    assert before["model"]["version"] != run["version"]
    return run


def test_a_job_from_a_shell_trains_a_model_that_is_served_without_a_restart(
    stack: RunningStack, api: httpx.Client, trained: dict[str, Any]
) -> None:
    run = trained
    assert run["state"] == "succeeded", run
    assert run["step"] > 0
    card = api.get(f"/api/v1/models/{run['version']}").json()
    assert card["symbols"] == ["BTCUSD", "ETHUSD"]
    if run["decision"]["verdict"] != "promote":
        # Three random walks: whether this one is better is luck, so an administrator decides.
        promoted = api.post(f"/api/v1/models/{run['version']}/promote", json={"force": True})
        assert promoted.status_code == 200, promoted.text

    def is_served() -> bool:
        return bool(api.get("/api/v1/forecast/BTCUSD").json()["model"]["version"] == run["version"])

    until(is_served, 60, "the new model's service")
    jobs = ray_dashboard(stack, "/api/jobs/")
    assert any("jobs.train_nhits" in job["entrypoint"] and job["status"] == "SUCCEEDED" for job in jobs)


def test_a_python_session_calls_the_graph_by_handle(stack: RunningStack) -> None:
    output = stack.run([sys.executable, "-c", SESSION], stack.environment())

    assert output.splitlines()[-1] == '[24, 3, "de"]'


def test_a_second_stack_on_the_same_home_is_refused(stack: RunningStack) -> None:
    with pytest.raises(AssertionError, match="a stack already runs"):
        stack.up()


def test_a_killed_stack_comes_back_whole_and_nothing_twice(
    stack: RunningStack, api: httpx.Client, trained: dict[str, Any]
) -> None:
    api.post(f"/api/v1/models/{trained['version']}/promote", json={"force": True}).raise_for_status()
    until(lambda: sync_is_idle(api), 120, "a whole sync cycle")
    before = stack.status()
    analyses = len(api.get("/api/v1/analyses").json()["analyses"])

    killed = stack.kill()
    stack.up()

    assert not [each for each in killed if lives(each)]
    api.post("/api/v1/sync/trigger")
    until(lambda: sync_is_idle(api), 120, "a whole sync cycle")
    after = stack.status()
    symbols = api.get("/api/v1/symbols").json()["symbols"]
    assert {each["symbol"]: each["bars"] for each in symbols} == dict.fromkeys(SYMBOLS, BARS)
    assert after["model"] == before["model"] is not None
    assert after["passages"] == before["passages"] > 0
    assert len(api.get("/api/v1/analyses").json()["analyses"]) == analyses
