"""Names of symbols: one canonical spelling, the rules a managed symbol obeys, and guesses about an unseen one."""

import re
from dataclasses import replace
from decimal import Decimal

from deployments.common.errors import InvalidRequest
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.models import Category, SymbolDraft

SYMBOL_PATTERN = re.compile(r"^[A-Z0-9][A-Z0-9._-]{1,19}$")
_SEPARATORS = re.compile(r"[\s/_:-]+")
_MAX_ALIASES = 20
_DIGITS = 30

_CURRENCY_CODES = (
    "AUD BRL CAD CHF CNH CNY CZK DKK EUR GBP HKD HUF ILS INR JPY KRW MXN NOK NZD PLN RON SEK SGD THB TRY USD ZAR"
)
CURRENCIES = frozenset(_CURRENCY_CODES.split())
"""ISO codes of the currencies that are traded in pairs."""

METALS = frozenset({"XAU", "XAG", "XPT", "XPD"})
INDICES = frozenset(["SPX", "NDX", "DJI", "RUT", "VIX", "DAX", "FTSE", "CAC", "SX5E", "N225", "NKY", "HSI"])
_STABLE_QUOTES = ("USDT", "USDC", "BUSD", "FDUSD", "TUSD")
_CRYPTO_QUOTES = (*_STABLE_QUOTES, "USD", "EUR", "BTC", "ETH")


def canonical(name: str) -> str:
    """Return the one spelling of a symbol: `btc/usd`, `BTC-USD` and `BTCUSD` are `BTCUSD`.

    Raises `InvalidRequest` where what remains is no symbol.
    """
    symbol = _SEPARATORS.sub("", name).upper()
    if not SYMBOL_PATTERN.match(symbol):
        reason = "must be 2 to 20 letters, digits or dots and begin with a letter or digit"
        raise InvalidRequest(f"{name[:40]!r} {reason}", (("symbol", reason),))
    return symbol


def keys_of(draft: SymbolDraft) -> tuple[str, ...]:
    """Return every canonical name under which a symbol is found: its own and its aliases'."""
    return tuple(dict.fromkeys([canonical(draft.symbol), *(canonical(alias) for alias in draft.aliases)]))


def validated(draft: SymbolDraft) -> SymbolDraft:
    """Return the draft under its canonical name, or raise `InvalidRequest` naming every field that is wrong."""
    problems = [*_name_problems(draft), *_number_problems(draft)]
    try:
        calendar_named(draft.calendar)
    except InvalidRequest as error:
        problems += error.fields
    if problems:
        raise InvalidRequest("; ".join(f"{name} {reason}" for name, reason in problems), tuple(problems))
    return replace(draft, symbol=canonical(draft.symbol), aliases=tuple(alias.strip() for alias in draft.aliases))


def _name_problems(draft: SymbolDraft) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    try:
        canonical(draft.symbol)
    except InvalidRequest as error:
        problems += error.fields
    if len(draft.aliases) > _MAX_ALIASES:
        problems.append(("aliases", f"may hold at most {_MAX_ALIASES} names"))
    for alias in draft.aliases:
        try:
            canonical(alias)
        except InvalidRequest as error:
            problems.append(("aliases", f"{alias[:40]!r} {error.fields[0][1]}"))
    for field in ("exchange", "base_currency", "quote_currency"):
        if len(getattr(draft, field)) > 20 or not getattr(draft, field).isprintable():
            problems.append((field, "may have at most 20 printable characters"))
    return problems


def _number_problems(draft: SymbolDraft) -> list[tuple[str, str]]:
    fields = ("lot_size", "price_increment", "size_increment")
    values: list[tuple[str, Decimal]] = [(field, getattr(draft, field)) for field in fields]
    reason = "must be a number above zero, of at most 30 digits before the point and 30 behind it"
    return [(field, reason) for field, value in values if not _is_storable(value)]


def _is_storable(value: Decimal) -> bool:
    if not (value.is_finite() and value > 0):
        return False
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -_DIGITS and value.adjusted() < _DIGITS


def guess_draft(name: str) -> SymbolDraft:
    """Return a managed symbol as its name suggests: a currency pair, a metal, a coin, an index, else a US stock."""
    symbol = canonical(name)
    base, quote = symbol[:3], symbol[3:]
    if len(symbol) == 6 and quote in CURRENCIES and base in CURRENCIES:
        return _forex(symbol, base, quote)
    if len(symbol) == 6 and base in METALS and quote in CURRENCIES:
        return replace(_forex(symbol, base, quote), category=Category.COMMODITY, price_increment=Decimal("0.01"))
    if symbol in INDICES:
        return _session_traded(symbol, Category.INDEX)
    return _coin(symbol) or _session_traded(symbol, Category.STOCK)


def _forex(symbol: str, base: str, quote: str) -> SymbolDraft:
    return SymbolDraft(
        symbol,
        category=Category.FOREX,
        base_currency=base,
        quote_currency=quote,
        lot_size=Decimal(100_000),
        price_increment=Decimal("0.001") if quote == "JPY" else Decimal("0.00001"),
        size_increment=Decimal(1_000),
        calendar="forex",
    )


def _coin(symbol: str) -> SymbolDraft | None:
    for quote in _CRYPTO_QUOTES:
        base = symbol.removesuffix(quote)
        if base != symbol and len(base) >= 2:
            return SymbolDraft(symbol, category=Category.CRYPTO, base_currency=base, quote_currency=quote)
    return None


def _session_traded(symbol: str, category: Category) -> SymbolDraft:
    return SymbolDraft(
        symbol,
        category=category,
        exchange="XNYS",
        base_currency="",
        quote_currency="USD",
        size_increment=Decimal(1),
        calendar="XNYS",
    )
