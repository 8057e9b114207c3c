"""Managed symbols: what is told of one, and updates that do not overwrite each other."""

import httpx
import pytest

from deployments.common.errors import NoCandles, Unavailable
from tests.fakes.gateway import Fakes

PATH = "/api/v1/managed-symbols/BTCUSD"
BODY = {"symbol": "BTCUSD", "category": "crypto", "price_increment": "0.05"}


async def test_symbol_is_told_with_its_price_and_freshness(reader: httpx.AsyncClient) -> None:
    body = (await reader.get(PATH)).json()
    assert body["symbol"] == "BTCUSD"
    assert body["lot_size"] == "100"
    assert body["last_price"] == body["latest"]["closed"]["close"]
    assert body["data_as_of"].endswith("Z")
    assert body["model"] == {"name": "nhits", "version": "v1", "trained_at": "2024-05-01T00:00:00Z"}


async def test_symbol_without_candles_is_told_all_the_same(fakes: Fakes, reader: httpx.AsyncClient) -> None:
    fakes.market_data.error = NoCandles("none")
    body = (await reader.get(PATH)).json()
    assert (body["symbol"], body["latest"], body["last_price"]) == ("BTCUSD", None, None)


async def test_created_symbol_is_where_location_says(admin: httpx.AsyncClient) -> None:
    created = await admin.post("/api/v1/managed-symbols", json={**BODY, "symbol": "SOLUSD"})
    assert created.status_code == 201
    assert (await admin.get(created.headers["location"])).json()["price_increment"] == "0.05"


async def test_symbol_is_not_created_twice(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/api/v1/managed-symbols", json=BODY)
    assert (answer.status_code, answer.json()["title"]) == (409, "Symbol exists")


async def test_update_with_the_tag_that_was_read_passes_once(admin: httpx.AsyncClient) -> None:
    tag = (await admin.get(PATH)).headers["etag"]
    first = await admin.put(PATH, json=BODY, headers={"If-Match": tag})
    second = await admin.put(PATH, json=BODY, headers={"If-Match": tag})
    third = await admin.put(PATH, json=BODY, headers={"If-Match": first.headers["etag"]})
    assert [answer.status_code for answer in (first, second, third)] == [200, 412, 200]


async def test_update_after_a_price_move_passes(fakes: Fakes, admin: httpx.AsyncClient) -> None:
    before = (await admin.get(PATH)).headers["etag"]
    fakes.market_data.append("BTCUSD", 123.0)
    assert (await admin.get(PATH)).headers["etag"] != before
    assert (await admin.put(PATH, json=BODY, headers={"If-Match": before})).status_code == 200


async def test_read_after_a_price_move_is_no_304(fakes: Fakes, reader: httpx.AsyncClient) -> None:
    before = (await reader.get(PATH)).headers["etag"]
    assert (await reader.get(PATH, headers={"If-None-Match": before})).status_code == 304
    fakes.market_data.append("BTCUSD", 123.0)
    assert (await reader.get(PATH, headers={"If-None-Match": before})).status_code == 200


@pytest.mark.parametrize("tag", ['"abc"', '"9999999999999999"', f'"{"9" * 30}"', "W/x", ""])
async def test_foreign_tag_fails_the_update(tag: str, admin: httpx.AsyncClient) -> None:
    answer = await admin.put(PATH, json=BODY, headers={"If-Match": tag})
    assert answer.status_code == 412


async def test_any_tag_passes_a_star(admin: httpx.AsyncClient) -> None:
    assert (await admin.put(PATH, json=BODY, headers={"If-Match": "*"})).status_code == 200


async def test_deleted_symbol_is_gone(admin: httpx.AsyncClient) -> None:
    answer = await admin.delete(PATH)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await admin.get(PATH)).status_code == 404


async def test_change_is_not_tried_again_when_a_replica_died(fakes: Fakes, admin: httpx.AsyncClient) -> None:
    fakes.market_data.error = Unavailable("gone")
    assert (await admin.delete(PATH)).status_code == 503
    assert fakes.market_data.calls == 1
