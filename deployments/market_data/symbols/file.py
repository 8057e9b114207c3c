"""`symbols.json`: managed symbols as a file, read at the first start and written by an export."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Any

from deployments.common.errors import InvalidRequest
from deployments.market_data.models import Category, Interval, SymbolDraft, SymbolStatus
from deployments.market_data.symbols.names import keys_of, validated

_FIELDS = tuple(field.name for field in fields(SymbolDraft))
_ENUMS: dict[str, type[StrEnum]] = {"category": Category, "status": SymbolStatus, "interval": Interval}
_DECIMALS = frozenset({"lot_size", "price_increment", "size_increment"})


def read_symbols(path: Path) -> tuple[SymbolDraft, ...]:
    """Return the validated symbols of a file: a list of objects, or `{"symbols": [...]}`.

    Raises `InvalidRequest` naming the file, the entry (from 1) and the field.
    """
    try:
        return parse_symbols(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path.name}: {error}", ((path.name, "cannot be read"),)) from None


def parse_symbols(text: str, name: str) -> tuple[SymbolDraft, ...]:
    """Return what `read_symbols` does from a file's text; decimals are exact, also where they are no strings.

    Raises `InvalidRequest`, also where two entries claim one name.
    """
    try:
        content = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{name}: {error}", ((name, "cannot be read as JSON"),)) from None
    entries = content.get("symbols") if isinstance(content, dict) else content
    if not isinstance(entries, list):
        raise InvalidRequest(f"{name}: no list of symbols", ((name, "holds no list of symbols"),))
    drafts = tuple(draft_of(entry, f"{name}, symbol {number}") for number, entry in enumerate(entries, 1))
    _refuse_twins(drafts, name)
    return drafts


def written(symbols: Iterable[SymbolDraft]) -> str:
    """Return symbols as a file's text, from which `parse_symbols` gives them back."""
    entries = [entry_of(symbol) for symbol in symbols]
    return json.dumps({"symbols": entries}, indent=2, ensure_ascii=False) + "\n"


def write_symbols(path: Path, symbols: Iterable[SymbolDraft]) -> None:
    """Write symbols so that `read_symbols` gives them back."""
    path.write_text(written(symbols), encoding="utf-8")


def entry_of(symbol: SymbolDraft) -> dict[str, Any]:
    """Return a symbol as the file and the HTTP interface write it."""
    return {name: _plain(getattr(symbol, name)) for name in _FIELDS}


def _refuse_twins(drafts: Sequence[SymbolDraft], name: str) -> None:
    holders: dict[str, tuple[int, str]] = {}
    for number, draft in enumerate(drafts, 1):
        for key in keys_of(draft):
            first, holder = holders.setdefault(key, (number, draft.symbol))
            if first != number:
                reason = f"{key} names symbol {first} ({holder}) already"
                raise InvalidRequest(f"{name}, symbol {number}: {reason}", (("symbol", reason),))


def draft_of(entry: Any, where: str) -> SymbolDraft:
    """Return the validated symbol of an entry; raises `InvalidRequest` naming `where` and the field."""
    if not isinstance(entry, dict) or "symbol" not in entry:
        raise InvalidRequest(f"{where}: an object with at least a symbol is expected", (("symbol", "is missing"),))
    unknown = sorted(set(entry) - {*_FIELDS, "created_at", "updated_at"})
    if unknown:
        raise InvalidRequest(f"{where}: unknown field {unknown[0]}", ((unknown[0], "is unknown"),))
    values = {name: _value(name, entry[name], where) for name in _FIELDS if name in entry}
    try:
        return validated(SymbolDraft(**values))
    except InvalidRequest as error:
        raise InvalidRequest(f"{where}: {error.detail}", error.fields) from None


def _value(name: str, value: Any, where: str) -> Any:
    try:
        if name in _ENUMS:
            return _ENUMS[name](value)
        if name in _DECIMALS:
            return Decimal(str(value))
        if name == "aliases":
            return tuple(_checked(alias, str) for alias in _checked(value, list))
        return _checked(value, bool if name == "enabled" else str)
    except (ValueError, TypeError, InvalidOperation):
        raise InvalidRequest(f"{where}: {name} is {value!r}", ((name, f"cannot be {value!r}"),)) from None


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(kind.__name__)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
