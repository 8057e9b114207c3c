"""Nonsense at the edge: every malformed value is a 422 that names its field, never a 500."""

from typing import Any

import httpx
import pytest

from tests.fakes.gateway import Fakes

LONG = "A" * 1_000


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/data/BTCUSD?lookback_days=NaN", "lookback_days"),
        ("/api/v1/data/BTCUSD?lookback_days=inf", "lookback_days"),
        ("/api/v1/data/BTCUSD?lookback_days=-1", "lookback_days"),
        ("/api/v1/data/BTCUSD?lookback_days=0", "lookback_days"),
        ("/api/v1/data/BTCUSD?lookback_days=1e9", "lookback_days"),
        ("/api/v1/data/BTCUSD?limit=0", "limit"),
        ("/api/v1/data/BTCUSD?limit=50001", "limit"),
        ("/api/v1/data/BTCUSD?limit=1e9", "limit"),
        ("/api/v1/data/BTCUSD?interval=2h", "interval"),
        ("/api/v1/data/BTCUSD?start=yesterday", "start"),
        ("/api/v1/data/BTCUSD?start=1e9", "start"),
        ("/api/v1/data/BTCUSD?start=1700000000", "start"),
        ("/api/v1/data/BTCUSD?start=0001-01-01", "start"),
        ("/api/v1/data/BTCUSD?end=9999-12-31T23:59:59-14:00", "end"),
        ("/api/v1/data/BTCUSD?as_of=%F0%9F%92%A9", "as_of"),
        ("/api/v1/data/BTCUSD?format=xml", "format"),
        ("/api/v1/data/%F0%9F%92%B0%F0%9F%92%B0", "symbol"),
        (f"/api/v1/data/{LONG}", "symbol"),
        ("/api/v1/data/%2e%2e", "symbol"),
        ("/api/v1/data/-rf", "symbol"),
        ("/api/v1/data/A%00B", "symbol"),
        ("/api/v1/data/BTC'--", "symbol"),
        ("/api/v1/forecast/BTCUSD?horizon=-1", "horizon"),
        ("/api/v1/forecast/BTCUSD?horizon=1e9", "horizon"),
        ("/api/v1/forecast/BTCUSD?horizon=169", "horizon"),
        ("/api/v1/forecast/BTCUSD?level=NaN", "level"),
        ("/api/v1/forecast/BTCUSD?level=0,80", "level"),
        ("/api/v1/forecast/BTCUSD?level=100", "level"),
        ("/api/v1/forecast/BTCUSD?level=", "level"),
        ("/api/v1/forecast/BTCUSD?level=1,2,3,4,5,6,7,8,9,10", "level"),
        ("/api/v1/forecast/BTCUSD/history?limit=0", "limit"),
        ("/api/v1/forecast/BTCUSD/history?interval=2h", "interval"),
        ("/api/v1/forecast/BTCUSD/history?horizon=169", "horizon"),
        ("/api/v1/data/batch", "symbols"),
        ("/api/v1/data/batch?symbols=,", "symbols"),
        (f"/api/v1/data/batch?symbols={','.join(f'S{n:03}' for n in range(51))}", "symbols"),
        ("/api/v1/knowledge/search", "q"),
        ("/api/v1/knowledge/search?q=", "q"),
        (f"/api/v1/knowledge/search?q={LONG}x", "q"),
        ("/api/v1/knowledge/search?q=a&k=0", "k"),
        ("/api/v1/knowledge/search?q=a&kind=novel", "kind"),
        ("/api/v1/analogues/BTCUSD?window=1", "window"),
        ("/api/v1/managed-symbols?limit=-1", "limit"),
        ("/api/v1/query-logs?min_duration_ms=NaN", "min_duration_ms"),
        ("/api/v1/models/%2e%2e", "version"),
        ("/api/v1/training/.hidden", "id"),
        ("/api/v1/analyses?limit=1000000000", "limit"),
    ],
)
async def test_malformed_parameter_is_refused_by_name(path: str, field: str, admin: httpx.AsyncClient) -> None:
    answer = await admin.get(path)
    assert answer.status_code == 422, answer.text
    assert field in {item["field"] for item in answer.json()["fields"]}


@pytest.mark.parametrize("path", ["/api/v1/data/../../etc/passwd", "/assets/../index.html", "/assets/..%2findex.html"])
async def test_path_that_climbs_leads_nowhere(path: str, admin: httpx.AsyncClient) -> None:
    assert (await admin.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/api/v1/managed-symbols", {"symbol": "solusd"}, "symbol"),
        ("POST", "/api/v1/managed-symbols", {"symbol": "SOL/USD"}, "symbol"),
        ("POST", "/api/v1/managed-symbols", {"symbol": LONG}, "symbol"),
        ("POST", "/api/v1/managed-symbols", {"symbol": "💰💰"}, "symbol"),
        ("POST", "/api/v1/managed-symbols", {"symbol": "SOLUSD", "colour": "red"}, "colour"),
        ("POST", "/api/v1/managed-symbols", {"symbol": "SOLUSD", "lot_size": "NaN"}, "lot_size"),
        ("POST", "/api/v1/managed-symbols", {"symbol": "SOLUSD", "lot_size": "Infinity"}, "lot_size"),
        ("POST", "/api/v1/managed-symbols", {"symbol": "SOLUSD", "price_increment": -1}, "price_increment"),
        ("POST", "/api/v1/managed-symbols", {"symbol": "SOLUSD", "size_increment": 0}, "size_increment"),
        ("POST", "/api/v1/managed-symbols", {"symbol": "SOLUSD", "category": "art"}, "category"),
        ("POST", "/api/v1/managed-symbols", {"symbol": "SOLUSD", "aliases": ["xy"] * 50}, "aliases"),
        ("PUT", "/api/v1/managed-symbols/BTCUSD", {"symbol": "ETHUSD"}, "symbol"),
        ("PUT", "/api/v1/managed-symbols/BTCUSD", {"symbol": "BTCUSD", "updated_at": "now"}, "updated_at"),
        ("POST", "/api/v1/training", {"max_steps": 10**9}, "max_steps"),
        ("POST", "/api/v1/training", {"symbols": "BTCUSD"}, "symbols"),
        ("POST", "/api/v1/training", {"symbols": ["../x"]}, "symbols.0"),
        ("POST", "/api/v1/analyze", {}, "symbol"),
        ("POST", "/api/v1/analyze", {"symbol": "BTCUSD", "question": LONG * 3}, "question"),
        ("POST", "/api/v1/analyze", {"symbol": "BTCUSD", "language": "fr"}, "language"),
        ("POST", "/api/v1/analyze", {"symbol": "BTCUSD", "horizon": 1e9}, "horizon"),
        ("POST", "/api/v1/models/v1/promote", {"force": "perhaps"}, "force"),
        ("POST", "/api/v1/login-links", {"ttl_s": 1e9}, "ttl_s"),
    ],
)
async def test_malformed_body_is_refused_by_field(
    method: str, path: str, body: dict[str, Any], field: str, admin: httpx.AsyncClient
) -> None:
    answer = await admin.request(method, path, json=body)
    assert answer.status_code == 422, answer.text
    assert field in {item["field"] for item in answer.json()["fields"]}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"symbol": NaN}'])
async def test_body_that_is_no_object_is_refused(body: bytes, admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/api/v1/analyze", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text


async def test_json_that_breaks_off_is_told_of_the_body(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/api/v1/analyze", content=b'{"symbol"', headers={"Content-Type": "application/json"})
    assert [item["field"] for item in answer.json()["fields"]] == ["body"]


async def test_json_under_another_content_type_is_told_which_to_send(admin: httpx.AsyncClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await admin.post("/api/v1/analyze", content=b'{"symbol": "BTCUSD"}', headers=form)
    assert answer.status_code == 422, answer.text
    assert "Content-Type: application/json" in answer.json()["fields"][0]["problem"]


async def test_refusal_speaks_in_our_own_words(reader: httpx.AsyncClient) -> None:
    answer = await reader.get("/api/v1/data/BTCUSD?start=1700000000")
    assert answer.json()["fields"][0]["problem"].startswith("write an instant as RFC 3339")


async def test_refusal_does_not_repeat_what_was_sent(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/api/v1/analyze", json={"symbol": "BTCUSD", "password": "hunter2"})
    assert "hunter2" not in answer.text


async def test_instant_without_zone_is_utc(fakes: Fakes, reader: httpx.AsyncClient) -> None:
    await reader.get("/api/v1/data/BTCUSD?start=2024-05-02&end=2024-05-03T02:00:00%2B02:00")
    query = fakes.market_data.held.queries[-1]
    assert query.start is not None
    assert query.start.isoformat() == "2024-05-02T00:00:00+00:00"
    assert query.end is not None
    assert query.end.isoformat() == "2024-05-03T00:00:00+00:00"


async def test_headers_meant_for_serve_change_nothing(reader: httpx.AsyncClient) -> None:
    plain = await reader.get("/api/v1/models")
    dressed = await reader.get(
        "/api/v1/models",
        headers={
            "X-Request-Timeout-Seconds": "0",
            "X-Request-Disconnect-Disabled": "?1",
            "serve_multiplexed_model_id": "x",
        },
    )
    assert (dressed.status_code, dressed.content) == (200, plain.content)


@pytest.mark.parametrize("shown", ["x" * 200, "two words", "a\tb"])
async def test_unfit_request_id_is_replaced(shown: str, reader: httpx.AsyncClient) -> None:
    answer = await reader.get("/livez", headers={"X-Request-ID": shown})
    assert answer.headers["x-request-id"] != shown
