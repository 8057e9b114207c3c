"""Names of symbols, and the file that holds them."""

import json
import pathlib
from dataclasses import replace
from decimal import Decimal

import pytest

from deployments.common.errors import InvalidRequest
from deployments.market_data.models import Category, Interval, SymbolDraft
from deployments.market_data.symbols.file import read_symbols, write_symbols
from deployments.market_data.symbols.names import canonical, guess_draft, keys_of, validated


@pytest.mark.parametrize("spelling", ["btc/usd", "BTC-USD", "BTCUSD", " btc_usd ", "BTC:USD"])
def test_spellings_of_a_symbol_are_one(spelling: str) -> None:
    assert canonical(spelling) == "BTCUSD"


@pytest.mark.parametrize("spelling", ["", "A", "../x", "BTC;DROP", "A" * 21, "ÄÖ", "BTC\x00USD"])
def test_what_is_no_symbol_is_refused_with_its_field(spelling: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        canonical(spelling)
    assert caught.value.fields[0][0] == "symbol"


def test_aliases_name_the_symbol_in_their_canonical_spelling() -> None:
    assert keys_of(SymbolDraft("BTCUSD", aliases=("btc/usd", "xbt/usd"))) == ("BTCUSD", "XBTUSD")


def test_every_wrong_field_is_named_at_once() -> None:
    draft = SymbolDraft("!", lot_size=Decimal(0), price_increment=Decimal("NaN"), calendar="moon", aliases=("?",))
    with pytest.raises(InvalidRequest) as caught:
        validated(draft)
    named = [field for field, _ in caught.value.fields]
    assert named == ["symbol", "aliases", "lot_size", "price_increment", "calendar"]


@pytest.mark.parametrize(
    ("symbol", "category", "calendar", "base", "quote"),
    [
        ("EURUSD", Category.FOREX, "forex", "EUR", "USD"),
        ("XAUUSD", Category.COMMODITY, "forex", "XAU", "USD"),
        ("BTCUSDT", Category.CRYPTO, "24/7", "BTC", "USDT"),
        ("btc/usd", Category.CRYPTO, "24/7", "BTC", "USD"),
        ("AAPL", Category.STOCK, "XNYS", "", "USD"),
        ("SPX", Category.INDEX, "XNYS", "", "USD"),
    ],
)
def test_names_tell_what_is_traded(symbol: str, category: Category, calendar: str, base: str, quote: str) -> None:
    draft = validated(guess_draft(symbol))
    assert (draft.category, draft.calendar) == (category, calendar)
    assert (draft.base_currency, draft.quote_currency) == (base, quote)


def test_symbols_file_gives_back_what_was_written(tmp_path: pathlib.Path) -> None:
    symbols = (guess_draft("EURUSD"), replace(guess_draft("AAPL"), interval=Interval.D1, aliases=("APPLE",)))
    write_symbols(tmp_path / "symbols.json", symbols)
    assert read_symbols(tmp_path / "symbols.json") == symbols


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"category": "crypto"}, "symbol"),
        ({"symbol": "BTCUSD", "colour": "red"}, "colour"),
        ({"symbol": "BTCUSD", "interval": "2h"}, "interval"),
        ({"symbol": "BTCUSD", "lot_size": "much"}, "lot_size"),
        ({"symbol": "BTCUSD", "enabled": "yes"}, "enabled"),
        ({"symbol": "BTCUSD", "aliases": "XBT"}, "aliases"),
        ({"symbol": "BTCUSD", "size_increment": -1}, "size_increment"),
    ],
)
def test_symbols_file_names_the_entry_and_the_field(tmp_path: pathlib.Path, entry: object, field: str) -> None:
    path = tmp_path / "symbols.json"
    path.write_text(json.dumps([{"symbol": "ETHUSD"}, entry]))
    with pytest.raises(InvalidRequest, match="symbol 2") as caught:
        read_symbols(path)
    assert caught.value.fields[0][0] == field


def test_symbols_file_that_is_no_json_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "symbols.json"
    path.write_text("{half")
    with pytest.raises(InvalidRequest, match=r"symbols\.json"):
        read_symbols(path)


@pytest.mark.parametrize("number", ["1e31", "1E+500000", "1e-31", "0", "-1", "NaN", "Infinity"])
def test_a_number_that_no_database_keeps_is_refused_with_its_field(number: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        validated(SymbolDraft("BTCUSD", lot_size=Decimal(number)))
    assert [field for field, _ in refused.value.fields] == ["lot_size"]
