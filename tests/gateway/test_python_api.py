"""Calls by handle: the same answers and the same checks as by HTTP."""

import pickle
from typing import Any

import httpx
import pytest

from deployments.common.errors import InvalidRequest, UnknownSymbol
from deployments.gateway.python_api import PythonApi
from tests.fakes.gateway import Fakes


@pytest.fixture
def python_api(fakes: Fakes) -> PythonApi:
    return PythonApi(fakes.services)


async def test_forecast_equals_the_http_answer(python_api: PythonApi, reader: httpx.AsyncClient) -> None:
    by_http = (await reader.get("/api/v1/forecast/BTCUSD?horizon=3&level=90,80")).json()
    assert await python_api.forecast("BTCUSD", "1h", 3, (90, 80), None) == by_http


async def test_candles_are_a_frame_that_says_where_it_comes_from(python_api: PythonApi) -> None:
    frame = await python_api.candles(
        "BTCUSD", interval="1h", lookback_days=None, start="2024-05-02", end=None, limit=5, as_of=None
    )
    assert list(frame.columns) == ["time", "open", "high", "low", "close", "volume"]
    assert str(frame["time"].dt.tz) == "UTC"
    assert frame.attrs["source"] == "timescaledb"


async def test_analysis_equals_the_http_answer(python_api: PythonApi, reader: httpx.AsyncClient) -> None:
    by_http = (await reader.post("/api/v1/analyze", json={"symbol": "BTCUSD", "language": "de"})).json()
    assert await python_api.analyze("BTCUSD", language="de") == by_http


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"interval": "2h"}, "interval"),
        ({"horizon": 0}, "horizon"),
        ({"level": (float("nan"),)}, "levels.0"),
        ({"level": ()}, "levels"),
        ({"as_of": "yesterday"}, "as_of"),
        ({"symbol": "../x"}, "symbol"),
    ],
)
async def test_malformed_call_names_its_field_in_another_process(
    change: dict[str, Any], field: str, python_api: PythonApi
) -> None:
    call = {"symbol": "BTCUSD", "interval": "1h", "horizon": 3, "level": (80,), "as_of": None, **change}
    with pytest.raises(InvalidRequest) as raised:
        await python_api.forecast(**call)
    travelled = pickle.loads(pickle.dumps(raised.value))  # noqa: S301  (our own bytes)
    assert field in [name for name, _ in travelled.fields]


async def test_unknown_symbol_stays_what_it_is(python_api: PythonApi) -> None:
    with pytest.raises(UnknownSymbol):
        await python_api.forecast("NOPE", "1h", 3, (80,), None)
