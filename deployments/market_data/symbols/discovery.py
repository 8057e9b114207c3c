"""Merge what EasyInsight, the database and the managed list know into one list of symbols."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from deployments.market_data.models import DiscoveredSymbol, Interval, ManagedSymbol, Source
from deployments.market_data.symbols.names import guess_draft


class Span(Protocol):
    """How many bars of a symbol an interval's table holds, from when to when."""

    @property
    def symbol(self) -> str: ...
    @property
    def interval(self) -> Interval: ...
    @property
    def bars(self) -> int: ...
    @property
    def first_time(self) -> datetime: ...
    @property
    def last_time(self) -> datetime: ...
    @property
    def bars_estimated(self) -> bool: ...


def merge(
    managed: Sequence[ManagedSymbol], spans: Iterable[Span], offered: Sequence[DiscoveredSymbol]
) -> tuple[DiscoveredSymbol, ...]:
    """Return every symbol once, ascending; bars are counted in its own interval, else in the best filled one."""
    by_symbol: dict[str, list[Span]] = {}
    for span in spans:
        by_symbol.setdefault(span.symbol, []).append(span)
    ours = {symbol.symbol: symbol for symbol in managed}
    theirs = {symbol.symbol: symbol for symbol in offered}
    names = sorted({*ours, *theirs, *by_symbol})
    return tuple(_discovered(name, ours.get(name), theirs.get(name), by_symbol.get(name, [])) for name in names)


def _discovered(
    name: str, managed: ManagedSymbol | None, offered: DiscoveredSymbol | None, spans: Sequence[Span]
) -> DiscoveredSymbol:
    known = managed or offered or guess_draft(name)
    own = [span for span in spans if managed is not None and span.interval is managed.interval]
    best = max(own or spans, key=lambda span: span.bars, default=None)
    held = (Source.DATABASE,) if best else ()
    return DiscoveredSymbol(
        symbol=name,
        category=known.category,
        managed=managed is not None,
        interval=best.interval if best else known.interval,
        bars=best.bars if best else 0,
        first_time=best.first_time if best else None,
        last_time=best.last_time if best else None,
        sources=(*held, *((Source.EASYINSIGHT,) if offered else ())),
        bars_estimated=best.bars_estimated if best else False,
    )
