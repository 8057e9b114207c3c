"""Symbols out of a stack and into another, through the real HTTP interface over a catalogue in memory."""

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from deployments.common.errors import InvalidRequest
from deployments.gateway.access.keys import KeyRing
from deployments.gateway.app import create_app
from deployments.gateway.models import Scope
from deployments.gateway.settings import GatewaySettings
from deployments.local_stack.api import StackApi
from deployments.local_stack.errors import StackError
from deployments.local_stack.symbol_list import bring_symbols, managed_symbols
from deployments.market_data.models import Category, Interval, SymbolDraft, SymbolStatus
from deployments.market_data.symbols.file import parse_symbols, written
from deployments.market_data.symbols.names import guess_draft
from tests.fakes.gateway import NOW, Fakes
from tests.fakes.market_desk import Desk

SYMBOLS = (
    replace(guess_draft("AAPL"), interval=Interval.D1, aliases=("APPLE", "aapl.us")),
    replace(guess_draft("BTCUSD"), price_increment=Decimal("0.00000001"), lot_size=Decimal("0.100")),
    replace(guess_draft("EURUSD"), enabled=False, status=SymbolStatus.INACTIVE),
)


class InProcess(httpx.BaseTransport):
    """Hand each request of a blocking client to an app in this process."""

    def __init__(self, desk: Desk, folder: Path) -> None:
        settings = GatewaySettings(folder, folder, version="1.2.3")
        services = replace(Fakes().services, market_data=desk.service)
        self._app = create_app(services, settings, clock=lambda: NOW)
        self.key = KeyRing(folder / "auth").create("admin", (Scope.ADMIN,))
        self.changes: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            self.changes.append(f"{request.method} {request.url.path}")
        return asyncio.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        headers = dict(request.headers) | {"accept-encoding": "identity"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app)) as client:
            told = await client.request(request.method, request.url, headers=headers, content=request.read())
        return httpx.Response(told.status_code, headers=told.headers, content=told.content)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def transport(desk: Desk, tmp_path: Path) -> InProcess:
    return InProcess(desk, tmp_path)


@pytest.fixture
def api(transport: InProcess) -> StackApi:
    return StackApi("http://candlecast.test", transport.key, transport)


def told(api: StackApi, symbols: tuple[SymbolDraft, ...], dry_run: bool = False) -> list[str]:
    return [str(change) for change in bring_symbols(api, symbols, dry_run)]


def test_what_is_exported_is_what_was_imported(api: StackApi) -> None:
    assert told(api, SYMBOLS) == ["AAPL: new", "BTCUSD: new", "EURUSD: new"]
    text = written(managed_symbols(api))
    assert parse_symbols(text, "symbols.json") == SYMBOLS


def test_importing_again_changes_nothing(api: StackApi, transport: InProcess) -> None:
    told(api, SYMBOLS)
    transport.changes.clear()
    assert told(api, SYMBOLS) == ["AAPL: unchanged", "BTCUSD: unchanged", "EURUSD: unchanged"]
    assert transport.changes == []


def test_a_symbol_that_differs_is_replaced_and_the_others_stay(api: StackApi) -> None:
    told(api, SYMBOLS)
    changed = replace(SYMBOLS[1], category=Category.INDEX, lot_size=Decimal("0.25"))
    assert told(api, (changed,)) == ["BTCUSD: changed (category, lot_size)"]
    assert managed_symbols(api) == (SYMBOLS[0], changed, SYMBOLS[2])


def test_a_dry_run_says_the_same_and_changes_nothing(api: StackApi, transport: InProcess) -> None:
    told(api, SYMBOLS[:1])
    transport.changes.clear()
    wanted = (replace(SYMBOLS[0], exchange="XNAS"), SYMBOLS[1])
    assert told(api, wanted, dry_run=True) == ["AAPL: changed (exchange)", "BTCUSD: new"]
    assert transport.changes == []
    assert managed_symbols(api) == SYMBOLS[:1]


def test_an_alias_that_is_taken_is_refused_with_its_holder(api: StackApi) -> None:
    told(api, SYMBOLS[:1])
    with pytest.raises(StackError, match="APPLE already names AAPL"):
        told(api, (replace(guess_draft("MSFT"), aliases=("apple",)),))


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_symbol_that_is_an_alias_of_another_is_refused_with_its_holder(api: StackApi, dry_run: bool) -> None:
    told(api, SYMBOLS[:1])
    with pytest.raises(StackError, match="APPLE already names AAPL"):
        told(api, (guess_draft("APPLE"),), dry_run)


def test_more_symbols_than_a_page_are_all_exported(api: StackApi, desk: Desk) -> None:
    async def fill() -> None:
        for number in range(505):
            await desk.catalogue.add(SymbolDraft(f"S{number:03d}"), NOW)

    asyncio.run(fill())
    assert len(managed_symbols(api)) == 505


@pytest.mark.parametrize("second", [{"symbol": "btc/usd"}, {"symbol": "ETHUSD", "aliases": ["BTC-USD"]}])
def test_a_file_in_which_two_entries_claim_a_name_is_refused(second: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="symbol 2: BTCUSD names symbol 1"):
        parse_symbols(json.dumps([{"symbol": "BTCUSD"}, second]), "symbols.json")


def test_numbers_in_a_file_are_read_exactly() -> None:
    text = '[{"symbol": "BTCUSD", "price_increment": 0.1234567890123456789012}]'
    (draft,) = parse_symbols(text, "symbols.json")
    assert draft.price_increment == Decimal("0.1234567890123456789012")
