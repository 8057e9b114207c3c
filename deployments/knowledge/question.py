"""Read exact dates, price levels and symbols out of a question, so that they filter instead of merely resembling."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

Span = tuple[datetime, datetime]

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january januar jan",
            "february februar feb",
            "march märz maerz mar",
            "april apr",
            "may mai",
            "june juni jun",
            "july juli jul",
            "august aug",
            "september sept sep",
            "october oktober oct okt",
            "november nov",
            "december dezember dec dez",
        ),
        start=1,
    )
    for name in names.split()
}
_NAMES = {"bitcoin": "BTC", "ethereum": "ETH", "ripple": "XRP", "cardano": "ADA", "dogecoin": "DOGE", "litecoin": "LTC"}
_QUOTES = ("USDT", "USDC", "USD", "EUR", "BTC")

_MONTH = "(?P<month>" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")\.?"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?P<year>\d{4})-(?P<number>\d{2})-(?P<day>\d{2})(?:[T ](?P<hour>\d{2}):(?P<minute>\d{2})(?::\d{2})?Z?)?",
        r"\b(?P<day>\d{1,2})\.(?P<number>\d{1,2})\.(?P<year>\d{4})\b",
        rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?{_MONTH}\s+(?P<year>\d{{4}})\b",
        rf"\b{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})\b",
        rf"\b{_MONTH}\s+(?P<year>\d{{4}})\b",
    )
)
_RANGE = re.compile(r"\b(between|from|since|zwischen|von|vom|seit)\b", re.IGNORECASE)
_OPEN_END = re.compile(r"\b(since|seit)\b", re.IGNORECASE)
_LEVEL = re.compile(
    r"(?:[$€£]|\b(?:level|price|near|around|above|below|at|over|under|to|of|bei|um|über|unter|marke|kurs)\s+(?:of\s+)?[$€£]?)"
    r"\s*(?P<number>\d[\d,]*(?:\.\d+)?)(?P<kilo>k\b)?"
    r"(?![\d:]|\s*(?:%|percent|prozent|bars?\b|hours?\b|days?\b|h\b|d\b|m\b|utc\b|uhr\b|candles?\b|times?\b))",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z0-9]+(?:[/_.-][A-Za-z0-9]+)?")


@dataclass(frozen=True, slots=True)
class QuestionFilters:
    """What a question names: symbols that are known, half-open spans of time, and prices."""

    symbols: frozenset[str]
    spans: tuple[Span, ...]
    levels: tuple[float, ...]


def read_question(question: str, known_symbols: Collection[str]) -> QuestionFilters:
    """Return what a question names exactly, in English or German."""
    rest, spans = _dates(question)
    levels = tuple(dict.fromkeys(_level(match) for match in _LEVEL.finditer(rest)))
    return QuestionFilters(_symbols(question, known_symbols), _joined(question, spans), levels)


def _dates(question: str) -> tuple[str, list[Span]]:
    """Return the question without its dates, whose numbers are no prices, and the span of each date."""
    spans: list[Span] = []
    for pattern in _DATES:
        for match in pattern.finditer(question):
            spans += _span(match.groupdict())
        question = pattern.sub(" ; ", question)
    return question, sorted(spans)


def _span(parts: dict[str, str | None]) -> list[Span]:
    month = int(parts.get("number") or _MONTHS[str(parts.get("month")).lower()])
    year, day = int(parts["year"] or 0), parts.get("day")
    try:
        start = datetime(
            year, month, int(day or 1), int(parts.get("hour") or 0), int(parts.get("minute") or 0), tzinfo=UTC
        )
        if day is None:
            return [(start, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC))]
        return [(start, start + timedelta(hours=1 if parts.get("hour") else 24))]
    except (ValueError, OverflowError):  # the 31st of February is no date
        return []


def _joined(question: str, spans: list[Span]) -> tuple[Span, ...]:
    """Join two dates that bound a range, and open the end of one that only begins it."""
    if len(spans) == 2 and _RANGE.search(question):
        return ((spans[0][0], spans[1][1]),)
    if len(spans) == 1 and _OPEN_END.search(question):
        return ((spans[0][0], datetime.max.replace(tzinfo=UTC)),)
    return tuple(spans)


def _level(match: re.Match[str]) -> float:
    return float(match["number"].replace(",", "")) * (1000.0 if match["kilo"] else 1.0)


def _symbols(question: str, known: Collection[str]) -> frozenset[str]:
    by_name = {_plain(symbol): symbol for symbol in known}
    bases = _bases(by_name)
    found: set[str] = set()
    for word in _WORD.findall(question):
        name = _plain(word)
        if name in by_name:
            found.add(by_name[name])
        elif word.isupper() and name in bases:  # "near" and "link" are words, NEAR and LINK are not
            found.add(bases[name])
        elif _NAMES.get(word.lower()) in bases:
            found.add(bases[_NAMES[word.lower()]])
    return frozenset(found)


def _bases(by_name: dict[str, str]) -> dict[str, str]:
    """Return the symbol of each base currency that stands in only one known symbol."""
    bases: dict[str, list[str]] = {}
    for name, symbol in by_name.items():
        quote = next((quote for quote in _QUOTES if name.endswith(quote) and len(name) > len(quote)), None)
        if quote is not None:
            bases.setdefault(name.removesuffix(quote), []).append(symbol)
    return {base: symbols[0] for base, symbols in bases.items() if len(symbols) == 1}


def _plain(word: str) -> str:
    return re.sub(r"[/_.-]", "", word).upper()
