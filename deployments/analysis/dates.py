"""Find dates and times of day in a normalised text, as English and German write them."""

import re
from collections.abc import Iterator

from deployments.analysis.reading import Moment, Unreadable

_MONTHS = (
    ("January", "Januar", "Jänner", "Jan"),
    ("February", "Februar", "Feber", "Feb"),
    ("March", "März", "Mar", "Mär"),
    ("April", "Apr"),
    ("May", "Mai"),
    ("June", "Juni", "Jun"),
    ("July", "Juli", "Jul"),
    ("August", "Aug"),
    ("September", "Sept", "Sep"),
    ("October", "Oktober", "Oct", "Okt"),
    ("November", "Nov"),
    ("December", "Dezember", "Dec", "Dez"),
)
MONTH_NUMBERS = {name: number for number, names in enumerate(_MONTHS, start=1) for name in names}
MONTH = "|".join(sorted(MONTH_NUMBERS, key=len, reverse=True))

_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::\d{2}(?:\.\d+)?)?(?:\s?(?P<half>[ap]\.?m\b\.?))?(?:\sUhr\b)?"
_HOUR_ONLY = r"(?P<hour>\d{1,2})(?:\s?(?P<half>[ap]\.?m\b\.?)|\sUhr\b)"
_ZONE = r"(?:\s?(?P<zone>(?:UTC|GMT)(?:[+-]\d{1,2}(?::?\d\d)?)?|Z\b|[+-]\d\d:?\d\d\b|[A-Z]{2,3}[DS]?[TZ]\b|[EPC]T\b))?"
_TIMES = tuple(re.compile(rf"(?<![\d:.,]){time}{_ZONE}(?![\d:])") for time in (_CLOCK, _HOUR_ONLY))
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<!\d)(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})(?!\d)",
        r"(?<![\d.,])(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})(?!\d)",
        rf"(?<![\d.,])(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<name>{MONTH})\b\.?(?:,?\s+(?P<year>\d{{4}})\b)?",
        rf"\b(?P<name>{MONTH})\.?\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?![\d.,]*\d)(?:,?\s+(?P<year>\d{{4}})\b)?",
        rf"\b(?P<name>{MONTH})\.?\s+(?P<year>\d{{4}})\b",
    )
)
_DATE_THEN_TIME = re.compile(r"[\s,(T]*(?:at|um)?\s*")
_TIME_THEN_DATE = re.compile(r"[\s,]*(?:on|of|am|vom)?(?:\s+the)?\s*")
_UTC_ZONES = {None, "UTC", "GMT", "Z", "+00:00", "+0000"}

_Span = tuple[int, int, Moment | Unreadable]


def find_moments(text: str) -> tuple[list[Moment | Unreadable], str]:
    """Return the dates and times of a normalised text, and the text with blanks in their places."""
    dates, rest = _find(_DATES, text)
    times, rest = _find(_TIMES, rest)
    return [token for _, _, token in _joined(sorted(dates + times, key=lambda span: span[0]), text)], rest


def _find(patterns: tuple[re.Pattern[str], ...], text: str) -> tuple[list[_Span], str]:
    spans: list[_Span] = []
    for pattern in patterns:
        for match in pattern.finditer(text):
            spans.append((match.start(), match.end(), _moment(match)))
        text = pattern.sub(lambda match: " " * len(match.group()), text)
    return spans, text


def _moment(match: re.Match[str]) -> Moment | Unreadable:
    parts = match.groupdict()
    if parts.get("zone") not in _UTC_ZONES:
        return Unreadable(match.group().strip())
    number = {name: int(parts[name]) for name in ("year", "month", "day", "hour", "minute") if parts.get(name)}
    if parts.get("name"):
        number["month"] = MONTH_NUMBERS[parts["name"]]
    if "hour" in number:
        number.setdefault("minute", 0)
        number["hour"] = _full_hour(number["hour"], parts.get("half"))
    return Moment(match.group().strip(), **number)


def _full_hour(hour: int, half: str | None) -> int:
    if half is None:
        return hour
    return hour % 12 + (12 if half.startswith("p") else 0)


def _joined(spans: list[_Span], text: str) -> Iterator[_Span]:
    """Make one moment of a date and a time that stand side by side, so that both must be of the same instant."""
    waiting: _Span | None = None
    for span in spans:
        one = None if waiting is None else _one(waiting, span, text)
        if one is not None:
            yield one
            waiting = None
            continue
        if waiting is not None:
            yield waiting
        waiting = span
    if waiting is not None:
        yield waiting


def _one(first: _Span, second: _Span, text: str) -> _Span | None:
    a, b = first[2], second[2]
    if not isinstance(a, Moment) or not isinstance(b, Moment) or (a.hour is None) == (b.hour is None):
        return None
    between = (_DATE_THEN_TIME if a.hour is None else _TIME_THEN_DATE).fullmatch(text, first[1], second[0])
    if between is None:
        return None
    date, time = (a, b) if a.hour is None else (b, a)
    words = text[first[0] : second[1]].strip()
    return first[0], second[1], Moment(words, date.year, date.month, date.day, time.hour, time.minute)
