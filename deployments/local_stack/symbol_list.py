"""The list of managed symbols of a running stack as a file, out and in, over its HTTP interface."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from deployments.local_stack.api import StackApi
from deployments.local_stack.errors import StackError
from deployments.market_data.models import SymbolDraft
from deployments.market_data.symbols.file import draft_of, entry_of

PATH = "/api/v1/managed-symbols"
_PAGE = 500


@dataclass(frozen=True, slots=True)
class SymbolChange:
    """What an import does to one symbol: `new`, `changed` with the fields that differ, or `unchanged`."""

    symbol: str
    what: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.symbol}: {self.what}" + (f" ({', '.join(self.fields)})" if self.fields else "")


def managed_symbols(api: StackApi) -> tuple[SymbolDraft, ...]:
    """Return every managed symbol, ascending."""
    return tuple(_draft(entry) for entry in _entries(api))


def bring_symbols(api: StackApi, drafts: Sequence[SymbolDraft], dry_run: bool = False) -> Iterator[SymbolChange]:
    """Add the symbols that are not managed yet and replace those that differ; yield what that did to each.

    Symbols that the list lacks stay. A symbol that others change meanwhile is not overwritten. With `dry_run` nothing
    changes. Raises `StackError` with the reason at the first symbol that is refused; those before it stay.
    """
    for draft in drafts:
        path = f"{PATH}/{quote(draft.symbol, safe='')}"
        known = api.get_with_tag(path)
        if known is None:
            if not dry_run:
                api.post(PATH, entry_of(draft))
            yield SymbolChange(draft.symbol, "new")
            continue
        answer, tag = known
        entry, held = entry_of(draft), _draft(answer)
        if held.symbol != draft.symbol:
            raise StackError(f"{draft.symbol} already names {held.symbol}")
        differing = tuple(name for name in entry if getattr(held, name) != getattr(draft, name))
        if differing and not dry_run:
            api.put(path, entry, tag)
        yield SymbolChange(draft.symbol, "changed" if differing else "unchanged", differing)


def _entries(api: StackApi) -> Iterator[dict[str, Any]]:
    cursor = ""
    while True:
        page = api.get(f"{PATH}?limit={_PAGE}&cursor={quote(cursor, safe='')}")
        yield from page["symbols"]
        if page["next_cursor"] is None:
            return
        cursor = page["next_cursor"]


def _draft(entry: dict[str, Any]) -> SymbolDraft:
    own = entry_of(SymbolDraft("X1"))  # the answer about one symbol tells its prices, too
    return draft_of({name: entry[name] for name in own}, f"symbol {entry['symbol']}")
