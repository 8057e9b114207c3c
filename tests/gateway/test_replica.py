"""The gateway's replica in a small Ray of its own, by HTTP and by handle, over contexts that are fakes."""

import pathlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from deployments.common.errors import InvalidRequest, UnknownSymbol, meaning_of
from deployments.common.telemetry import current_request_id, follow_calls
from deployments.gateway.access.keys import KeyRing
from deployments.gateway.models import Scope
from deployments.local_stack.ports import free_ports
from deployments.market_data.client import MarketDataClient
from deployments.market_data.models import Interval

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0


class Running(NamedTuple):
    url: str
    key: str
    handle: Any


def build(home: pathlib.Path) -> Any:
    from ray import serve
    from ray.serve.context import _get_serve_request_context

    from deployments.gateway.deployment import Gateway
    from tests.fakes.gateway import FakeAnalyst, FakeForecaster, FakeKnowledge, FakeMarket

    none = {"num_cpus": 0}

    @serve.deployment(name="Analyst", ray_actor_options=none)
    class StubAnalyst(FakeAnalyst):
        async def analyze_stream(self, request: Any) -> AsyncIterator[Any]:
            async for event in FakeAnalyst.analyze_stream(self, request):
                yield event

    @serve.deployment(name="MarketData", ray_actor_options=none)
    class StubMarket(FakeMarket):
        """Tell for which request it is asked, as the reason why there is no such symbol."""

        def __init__(self) -> None:
            super().__init__()
            follow_calls(_get_serve_request_context)

        async def quality(self, symbol: str, *_: Any) -> Any:
            raise UnknownSymbol(f"asked for {current_request_id()}")

        async def candles(self, query: Any) -> Any:
            return await (self.quality(query.symbol) if query.symbol == "WHO" else super().candles(query))

        async def changed_candles(self, query: Any, generation: str) -> Any:
            return await (self.candles(query) if query.symbol == "WHO" else super().changed_candles(query, generation))

    @serve.deployment(name="Forecaster", ray_actor_options=none)
    class StubForecaster(FakeForecaster):
        """Ask market data in turn."""

        def __init__(self, market_data: Any) -> None:
            super().__init__()
            self._market_data = MarketDataClient(market_data)

        async def forecast(self, request: Any) -> Any:
            asks = request.symbol == "WHO"
            return await (self._market_data.quality("WHO", Interval.H1) if asks else super().forecast(request))

        async def model(self, version: str) -> Any:
            return await (self._market_data.quality("WHO", Interval.H1) if version == "who" else super().model(version))

    # mypy sees the classes as they were before Serve's decorators
    market_data = StubMarket.bind()  # type: ignore[attr-defined]
    forecaster = StubForecaster.bind(market_data)  # type: ignore[attr-defined]
    knowledge = serve.deployment(name="Knowledge", ray_actor_options=none)(FakeKnowledge).bind()
    gateway: Any = Gateway
    analyst: Any = StubAnalyst
    return gateway.options(ray_actor_options=none).bind(
        str(home), str(home / "dist"), True, market_data, forecaster, knowledge, analyst.bind()
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The application behind Serve's own proxy on a free port."""
    ray = pytest.importorskip("ray")
    from ray import serve

    home = tmp_path_factory.mktemp("home")
    key = KeyRing(home / "auth").create("test", (Scope.ADMIN,))
    session = tempfile.mkdtemp(prefix="cc-ray-")  # a unix socket path may have 107 bytes
    environment = {"env_vars": {"PYTHONPATH": str(ROOT)}}
    ray.init(num_cpus=2, include_dashboard=False, _temp_dir=session, log_to_driver=False, runtime_env=environment)
    try:
        (port,) = free_ports(1)
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        handle = serve.run(build(home), name="candlecast", route_prefix="/")
        yield Running(f"http://127.0.0.1:{port}", key, handle)
    finally:
        serve.shutdown()
        ray.shutdown()
        shutil.rmtree(session, ignore_errors=True)


@pytest.fixture
def client(running: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, headers={"X-API-Key": running.key}, timeout=30.0) as client:
        yield client


def test_candles_come_by_http(client: httpx.Client) -> None:
    answer = client.get("/api/v1/data/BTCUSD?limit=200")
    assert answer.json()["count"] == 200
    assert answer.headers["content-encoding"] in {"gzip", "zstd"}


def test_forecast_comes_by_handle(running: Running) -> None:
    answer = running.handle.forecast.remote("BTCUSD", horizon=3).result(timeout_s=DEADLINE_S)
    assert len(answer["points"]) == 3


def test_candles_come_by_handle_as_a_frame(running: Running) -> None:
    frame = running.handle.candles.remote("BTCUSD", limit=5).result(timeout_s=DEADLINE_S)
    assert list(frame.columns) == ["time", "open", "high", "low", "close", "volume"]
    assert len(frame) == 5


def test_analysis_comes_by_handle(running: Running) -> None:
    answer = running.handle.analyze.remote("BTCUSD", language="de").result(timeout_s=DEADLINE_S)
    assert answer["language"] == "de"


@pytest.mark.parametrize(
    ("call", "meaning"),
    [
        (lambda handle: handle.forecast.remote("NOPE"), UnknownSymbol),
        (lambda handle: handle.forecast.remote("BTCUSD", horizon=-1), InvalidRequest),
        (lambda handle: handle.analyze.remote("BTCUSD", nonsense=1), InvalidRequest),
    ],
)
def test_error_keeps_its_meaning_on_the_way_to_python(
    call: Callable[[Any], Any], meaning: type[Exception], running: Running
) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011  (Ray derives a class of its own from ours)
        call(running.handle).result(timeout_s=DEADLINE_S)
    assert isinstance(meaning_of(raised.value, "Gateway"), meaning)


def test_remote_error_becomes_a_problem_document(client: httpx.Client) -> None:
    answer = client.get("/api/v1/forecast/NOPE")
    assert (answer.status_code, answer.json()["title"]) == (404, "Unknown symbol")
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("shown", ["mine-1", None])
def test_request_id_stands_once_in_the_answer(shown: str | None, client: httpx.Client) -> None:
    answer = client.get("/api/v1/models/none", headers={"X-Request-ID": shown} if shown else {})
    assert answer.headers.get_list("x-request-id") == [answer.json()["instance"]]
    assert shown is None or answer.json()["instance"] == shown


@pytest.mark.parametrize("path", ["/data/WHO", "/data/BTCUSD/quality", "/forecast/WHO", "/models/who"])
@pytest.mark.parametrize("shown", ["mine-1", "not fit", None])
def test_request_id_reaches_market_data_whichever_way_it_is_asked(
    shown: str | None, path: str, client: httpx.Client
) -> None:
    answer = client.get(f"/api/v1{path}", headers={"X-Request-ID": shown} if shown else {})
    assert answer.json()["detail"] == f"asked for {answer.json()['instance']}"
    assert (answer.json()["instance"] == shown) is (shown == "mine-1")


def test_call_by_handle_belongs_to_no_request(running: Running) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011  (Ray derives a class of its own from ours)
        running.handle.candles.remote("WHO").result(timeout_s=DEADLINE_S)
    assert str(meaning_of(raised.value, "Gateway")) == "asked for "


def test_hot_candles_equal_the_first_ones(client: httpx.Client) -> None:
    first, *others = [client.get("/api/v1/data/ETHUSD?limit=300") for _ in range(5)]
    assert {answer.content for answer in others} == {first.content}
    assert [answer.headers["etag"] for answer in others] == [first.headers["etag"]] * 4
    assert client.get("/api/v1/system/stats").json()["cache"]["candle_hits"] >= 4


@pytest.mark.parametrize("path", ["/forecast/ETHUSD?horizon=3", "/forecast/batch?symbols=ETHUSD,BTCUSD"])
def test_hot_forecasts_equal_the_first_ones(path: str, client: httpx.Client) -> None:
    before = client.get("/api/v1/system/stats").json()["cache"]["forecast_hits"]
    first, *others = [client.get(f"/api/v1{path}") for _ in range(5)]
    assert first.status_code == 200
    assert {answer.content for answer in others} == {first.content}
    assert [answer.headers["etag"] for answer in others] == [first.headers["etag"]] * 4
    assert client.get("/api/v1/system/stats").json()["cache"]["forecast_hits"] > before


def test_new_version_is_in_the_next_forecast_after_its_promotion(client: httpx.Client) -> None:
    client.get("/api/v1/forecast/BTCUSD?horizon=3")
    assert client.post("/api/v1/models/v2/promote", json={"force": True}).status_code == 200
    assert client.get("/api/v1/forecast/BTCUSD?horizon=3").json()["model"]["version"] == "v2"


@pytest.mark.parametrize("chunked", [False, True])
def test_body_above_the_limit_is_refused(chunked: bool, client: httpx.Client) -> None:
    body = iter([b"x" * 600_000] * 2) if chunked else b"x" * 1_200_000
    answer = client.post("/api/v1/analyze", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_analysis_streams(client: httpx.Client) -> None:
    headers = {"Accept": "text/event-stream"}
    with client.stream("POST", "/api/v1/analyze", json={"symbol": "BTCUSD"}, headers=headers) as answer:
        lines = list(answer.iter_lines())
    told = [line for line in lines if line.startswith("event:")]
    assert told == ["event: facts", "event: token", "event: done"]


def test_listener_that_leaves_is_forgotten(client: httpx.Client) -> None:
    with client.stream("GET", "/api/v1/events") as answer:
        chunks = answer.iter_text()  # the connection ends with the iterator
        assert next(chunks).startswith("retry:")
        until(lambda: listeners(client) == 1)
    until(lambda: listeners(client) == 0)


def test_statistics_count_replicas(client: httpx.Client) -> None:
    assert client.get("/api/v1/system/stats").json()["replicas"]["Gateway"] == 1


def test_served_requests_reach_the_query_log(client: httpx.Client) -> None:
    client.get("/api/v1/accuracy")
    until(lambda: "/api/v1/accuracy" in {entry["endpoint"] for entry in entries(client)})


def entries(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/api/v1/query-logs?limit=1000").json()["entries"]
    return found


def listeners(client: httpx.Client) -> int:
    count: int = client.get("/api/v1/system/stats").json()["queues"]["event_listeners"]
    return count


def until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < limit, "it did not come to hold in time"
        time.sleep(0.05)
