"""Managed symbols: what is told of one, and updates that do not overwrite each other."""

import json
from decimal import Decimal

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.common.errors import NoCandles, Unavailable
from deployments.gateway.bodies import SymbolBody
from deployments.gateway.wire.encoding import to_json
from deployments.market_data.models import SymbolDraft
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


steps = st.decimals(Decimal("1e-12"), Decimal(999_999_999_999), allow_nan=False, places=12)


def body_with(lot_size: str) -> SymbolBody:
    return SymbolBody.model_validate_json(f'{{"symbol": "BTCUSD", "lot_size": {lot_size}}}')


@pytest.mark.parametrize("digits", ["14277.801225197551", "0.12345678901234567"])
async def test_number_that_loses_digits_is_refused_with_its_field(admin: httpx.AsyncClient, digits: str) -> None:
    content = f'{{"symbol": "SOLUSD", "lot_size": {digits}}}'
    headers = {"Content-Type": "application/json"}
    answer = await admin.post("/api/v1/managed-symbols", content=content, headers=headers)
    assert answer.status_code == 422
    assert "lot_size" in answer.text


@given(steps)
def test_sizes_and_increments_pass_json_to_the_last_digit(size: Decimal) -> None:
    assert body_with(f'"{size}"').draft().lot_size == size
    if len(size.normalize().as_tuple().digits) <= 15:
        assert body_with(f"{size:f}").draft().lot_size == size
    assert Decimal(json.loads(to_json(SymbolDraft("BTCUSD", lot_size=size)))["lot_size"]) == size


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


async def test_symbol_that_changed_meanwhile_is_not_deleted(admin: httpx.AsyncClient) -> None:
    tag = (await admin.get(PATH)).headers["etag"]
    changed = await admin.put(PATH, json=BODY)
    assert (await admin.delete(PATH, headers={"If-Match": tag})).status_code == 412
    assert (await admin.delete(PATH, headers={"If-Match": changed.headers["etag"]})).status_code == 204


async def test_list_of_symbols_has_a_tag_that_changes_with_it(admin: httpx.AsyncClient) -> None:
    tag = (await admin.get("/api/v1/managed-symbols")).headers["etag"]
    again = await admin.get("/api/v1/managed-symbols", headers={"If-None-Match": tag})
    await admin.put(PATH, json=BODY)
    changed = await admin.get("/api/v1/managed-symbols", headers={"If-None-Match": tag})
    assert (again.status_code, changed.status_code) == (304, 200)


async def test_deleted_symbol_is_gone(admin: httpx.AsyncClient) -> None:
    answer = await admin.delete(PATH)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await admin.get(PATH)).status_code == 404


async def test_change_is_not_tried_again_when_a_replica_died(fakes: Fakes, admin: httpx.AsyncClient) -> None:
    fakes.market_data.error = Unavailable("gone")
    assert (await admin.delete(PATH)).status_code == 503
    assert fakes.market_data.calls == 1
