"""Candles on the wire, in every form that they are offered in."""

import gzip
import io
import json
from datetime import UTC, datetime

import httpx
import pyarrow as pa
import pyarrow.csv
import pytest
import zstandard

from deployments.gateway.wire.candle_formats import Layout, candles_json, chosen_type
from deployments.market_data.models import CANDLE_SCHEMA, Candles, Gap, Interval, Source
from tests.fakes.market_data import candle_table

PATH = "/api/v1/data/BTCUSD?limit=100"
START = datetime(2024, 1, 1, tzinfo=UTC)


def answer_of(table: pa.Table) -> Candles:
    gap = Gap(START, START, 1)
    return Candles("BTCUSD", Interval.H1, table, Source.DATABASE, START, False, (gap,))


def test_rows_hold_what_the_table_holds() -> None:
    body = json.loads(candles_json(answer_of(candle_table(START, [1.5, 2.25]))))
    assert body == {
        "symbol": "BTCUSD",
        "interval": "1h",
        "count": 2,
        "candles": [
            {"time": "2024-01-01T00:00:00Z", "open": 1.5, "high": 1.5, "low": 1.5, "close": 1.5, "volume": 10.0},
            {"time": "2024-01-01T01:00:00Z", "open": 1.5, "high": 2.25, "low": 1.5, "close": 2.25, "volume": 10.0},
        ],
        "source": "timescaledb",
        "data_as_of": "2024-01-01T00:00:00Z",
        "stale": False,
        "gaps": [{"start": "2024-01-01T00:00:00Z", "end": "2024-01-01T00:00:00Z", "bars": 1}],
        "forming": False,
        "incomplete": [],
    }


def test_columns_hold_the_same_as_rows() -> None:
    candles = answer_of(candle_table(START, [1.5, 2.25, 1e-9, 1e12]))
    rows = json.loads(candles_json(candles))["candles"]
    columns = json.loads(candles_json(candles, Layout.COLUMNS))["candles"]
    assert columns == {name: [row[name] for row in rows] for name in CANDLE_SCHEMA.names}


def test_table_in_several_chunks_is_written_whole() -> None:
    parts = [candle_table(START, [1.0]), candle_table(START, [2.0])]
    assert json.loads(candles_json(answer_of(pa.concat_tables(parts))))["count"] == 2


@pytest.mark.parametrize("layout", Layout)
def test_empty_window_is_an_empty_list(layout: Layout) -> None:
    body = json.loads(candles_json(answer_of(CANDLE_SCHEMA.empty_table()), layout))
    assert body["candles"] in ([], {name: [] for name in CANDLE_SCHEMA.names})


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/html, text/csv;q=0.5", "text/csv"),
        ("application/vnd.apache.arrow.stream, text/csv", "application/vnd.apache.arrow.stream"),
        ("image/png", "application/json"),
        ("application/json;q=0.4, text/csv;q=0.5", "text/csv"),
        ("text/csv;q=0, application/json", "application/json"),
        ("text/csv;q=0", "application/json"),
        ("text/csv;q=much, */*", "application/json"),
    ],
)
def test_media_type_follows_accept(accept: str, chosen: str) -> None:
    assert chosen_type(accept) == chosen


async def test_arrow_stream_equals_json(reader: httpx.AsyncClient) -> None:
    rows = (await reader.get(PATH)).json()["candles"]
    answer = await reader.get(PATH, headers={"Accept": "application/vnd.apache.arrow.stream"})
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.schema.remove_metadata() == CANDLE_SCHEMA
    assert table["close"].to_pylist() == [row["close"] for row in rows]
    assert table.schema.metadata[b"X-Data-Source"] == b"timescaledb"
    assert answer.headers["x-data-stale"] == "false"


async def test_csv_equals_json(reader: httpx.AsyncClient) -> None:
    rows = (await reader.get(PATH)).json()["candles"]
    answer = await reader.get(PATH, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    lines = answer.text.splitlines()
    assert lines[0].replace('"', "") == "time,open,high,low,close,volume"
    assert lines[1].startswith(rows[0]["time"])
    table = pyarrow.csv.read_csv(io.BytesIO(answer.content))
    assert table["close"].to_pylist() == [row["close"] for row in rows]


async def test_empty_csv_has_its_header_line(reader: httpx.AsyncClient) -> None:
    path = "/api/v1/data/BTCUSD?start=2020-01-01&end=2020-01-02"
    answer = await reader.get(path, headers={"Accept": "text/csv"})
    assert answer.text.replace('"', "").strip() == "time,open,high,low,close,volume"


@pytest.mark.parametrize(
    ("accepted", "coding"), [("zstd, gzip", "zstd"), ("gzip", "gzip"), ("zstd;q=0, gzip", "gzip"), ("br", None)]
)
async def test_large_answer_is_compressed_as_the_client_likes(
    accepted: str, coding: str | None, reader: httpx.AsyncClient
) -> None:
    plain = (await reader.get(PATH, headers={"Accept-Encoding": "identity"})).content
    async with reader.stream("GET", PATH, headers={"Accept-Encoding": accepted}) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == coding
    assert int(answer.headers["content-length"]) == len(raw)
    assert "Accept-Encoding" in answer.headers["vary"]
    decoded = {"zstd": lambda: zstandard.decompress(raw), "gzip": lambda: gzip.decompress(raw)}
    assert (decoded[coding]() if coding else raw) == plain


async def test_small_answer_is_not_compressed(reader: httpx.AsyncClient) -> None:
    assert "content-encoding" not in (await reader.get("/livez", headers={"Accept-Encoding": "gzip"})).headers


async def test_answer_known_to_the_client_is_not_sent_again(reader: httpx.AsyncClient) -> None:
    first = await reader.get(PATH)
    again = await reader.get(PATH, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = await reader.get("/api/v1/data/BTCUSD?limit=99", headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200


async def test_batch_answers_each_symbol_for_itself(reader: httpx.AsyncClient) -> None:
    body = (await reader.get("/api/v1/data/batch?symbols=BTCUSD,NOPE,B%20D,ETHUSD,BTCUSD&limit=3")).json()
    assert set(body["results"]) == {"BTCUSD", "ETHUSD"}
    assert len(body["results"]["BTCUSD"]["candles"]) == 3
    assert body["errors"]["NOPE"]["status"] == 404
    assert body["errors"]["B D"]["status"] == 422


async def test_forecast_batch_answers_each_symbol_for_itself(reader: httpx.AsyncClient) -> None:
    body = (await reader.get("/api/v1/forecast/batch?symbols=BTCUSD,NOPE&horizon=2&level=97.5,80")).json()
    assert body["results"]["BTCUSD"]["levels"] == [80.0, 97.5]
    assert set(body["results"]["BTCUSD"]["points"][0]["lower"]) == {"80", "97.5"}
    assert body["errors"]["NOPE"]["type"].endswith("unknown-symbol")
