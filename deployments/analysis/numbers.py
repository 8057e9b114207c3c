"""Find every number in a normalised text whose dates are already gone, with the precision its digits imply."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace

from deployments.analysis.models import Language
from deployments.analysis.reading import NARROW_SPACE, Quantity, Unit, Unreadable

_NUMBER = re.compile(
    rf"""
    (?P<sign>(?<![\w)%.,'-])[+-])?
    (?P<before>[$€£¥]\s?)?
    (?P<body>(?:\d+|(?<![\w.,])[.,](?=\d)\d+)(?:[.,]\d+|['{NARROW_SPACE}]\d{{3}}(?!\d))*)
    (?:[eE](?P<exponent>[+-]?\d+)(?!\w)|\s?[x×·*]\s?10\^(?P<power>[+-]?\d+)|\^(?P<raised>[+-]?\d+))?
    (?:\s?(?P<scale>k|K|thousand|Tsd\b\.?|tausend|M|mn|million|Mio\b\.?|Million(?:en)?|bn|B|billion|Mrd\b\.?|Milliarden?)
        (?![\w]))?
    (?:[\s-]?(?P<unit>
        %|percent\w*|per\s?cent|Prozent\w*|pct\b|pp\b|bps?\b|basis[\s]points?|Basispunkte?n?\b
        |(?:h|hrs?|hours?|hourly|Stunden?|stündig\w*)\b|(?:d|days?|Tage?n?|tägig\w*)\b|(?:weeks?|Wochen?|wöchig\w*)\b
        |(?:minutes?|mins?|Minuten?|minütig\w*)\b|(?:months?|Monate?n?)\b|(?:years?|Jahre?n?)\b
        |(?:bars?|candles?|periods?|steps?|Kerzen?|Balken|Perioden?|Schritte?n?)\b
        |[$€£¥]|(?:USDT?|EUR|GBP|JPY)\b
    ))?
    """,
    re.VERBOSE,
)
_SCALES = {"k": 1e3, "t": 1e3, "m": 1e6, "b": 1e9}
_HOURS = {"h": 1.0, "s": 1.0, "d": 24.0, "t": 24.0, "w": 168.0, "m": 720.0, "y": 8760.0, "j": 8760.0}
_HEDGE = re.compile(
    r"(?:\b(?:about|around|roughly|approximately|nearly|almost|some|circa|ca\.?|rund|etwa|ungefähr|knapp|fast)|[~≈])\s*[$€£¥+-]?$"
)
_RANGE = re.compile(r"\s?(?:-|/|to|and|or|bis|und|oder)\s?[$€£¥]?[+-]?\s?")
_SPELLED = re.compile(
    r"\b(?:(?:twen|thir|for|fif|six|seven|eigh|nine)(?:ty|teen)|fourteen|hundreds?|thousands?|millions?|billions?)\b"
    r"|\b\w*(?:zwanzig|dreißig|dreissig|vierzig|fünfzig|sechzig|siebzig|achtzig|neunzig|hundert|tausend|million|milliarde)\w*",
    re.IGNORECASE,
)
_LIST_MARKER = re.compile(r"^\s*(?:[-*•]\s+)?\d{1,2}[.)](?=\s)")
_FREE_ROUNDING = 0.001
"""The most that a hedge such as "around" may widen a round number, relative to it."""


def find_numbers(text: str, language: Language) -> list[Quantity | Unreadable]:
    """Return every number of a normalised text without dates; a list marker is none, a spelled-out one unreadable."""
    text = _LIST_MARKER.sub(lambda marker: " " * len(marker.group()), text)
    found: list[tuple[re.Match[str], Quantity | Unreadable]] = []
    for match in _NUMBER.finditer(text):
        found += [(match, token) for token in _quantities(match, text, language)]
    rest = _NUMBER.sub(lambda match: " " * len(match.group()), text)
    return _share_units(found, text) + _unreadable(rest)


def _unreadable(rest: str) -> list[Quantity | Unreadable]:
    words = [match.group() for match in _SPELLED.finditer(rest)]
    signs = [character for character in rest if character.isnumeric()]
    return [Unreadable(text) for text in words + signs]


def _quantities(match: re.Match[str], text: str, language: Language) -> Iterator[Quantity | Unreadable]:
    parsed = parse(match["body"], language)
    if parsed is not None:
        yield _quantity(match, text, *parsed)
        return
    pieces = match["body"].split(",")  # "12,26,9" is a list
    for piece in pieces:
        part = parse(piece, language)
        yield Unreadable(match.group()) if part is None else _quantity(match, text, *part)


def parse(body: str, language: Language) -> tuple[float, int] | None:
    """Return value and number of decimals of digits with separators, None where they make no number.

    A single separator with three digits behind it is read as the language has it: thousands where they may stand.
    """
    body = re.sub(rf"['{NARROW_SPACE}]", "", body)
    separators = re.sub(r"\d", "", body)
    if not separators:
        return float(body), 0
    decimal = _decimal_separator(body, separators, language)
    whole, _, fraction = body.partition(decimal) if decimal else (body, "", "")
    if not re.fullmatch(r"\d*|\d{1,3}(?:[.,]\d{3})+", whole) or (not fraction.isdigit() and decimal):
        return None
    return float(f"{re.sub(r'[.,]', '', whole) or '0'}.{fraction or '0'}"), len(fraction)


def _decimal_separator(body: str, separators: str, language: Language) -> str:
    if len(set(separators)) == 2:
        return separators[-1]
    if len(separators) > 1:
        return ""
    thousands = "," if language is Language.EN else "."
    grouped = separators == thousands and re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", body)
    return "" if grouped else separators


def _quantity(match: re.Match[str], text: str, value: float, decimals: int) -> Quantity | Unreadable:
    if match["raised"]:
        value, factor = value ** int(match["raised"]), 1.0
    else:
        factor = 10.0 ** int(match["exponent"] or match["power"] or 0)
    factor *= _SCALES[match["scale"][0].lower()] if match["scale"] else 1.0
    unit, of_unit = _unit(match)
    factor *= of_unit
    step = factor * 10.0**-decimals
    value *= factor * (-1.0 if match["sign"] == "-" else 1.0)
    if not math.isfinite(value):
        return Unreadable(match.group())
    tolerance = max(step / 2, _hedged(value, text[: match.start("body")]) if decimals == 0 else 0.0)
    return Quantity(match.group().strip(), value, tolerance, unit, match["sign"] is not None, match.start("body"))


def _unit(match: re.Match[str]) -> tuple[Unit, float]:
    """Return the unit and the factor that turns the number into it."""
    word = (match["unit"] or "").lower()
    if not word:
        return (Unit.PRICE if match["before"] else Unit.NONE), 1.0
    if word[0] in "$€£¥" or word in {"usd", "usdt", "eur", "gbp", "jpy"}:
        return Unit.PRICE, 1.0
    if word[0] == "%" or (word.startswith(("per", "pro", "pct", "pp")) and not word.startswith("period")):
        return Unit.PERCENT, 1.0
    if word.startswith(("bp", "bas")):
        return Unit.PERCENT, 0.01
    if word.startswith(("bar", "can", "per", "ste", "ker", "bal", "sch")):
        return Unit.BARS, 1.0
    return Unit.HOURS, 1 / 60 if word.startswith("min") else _HOURS[word[0]]


def _hedged(value: float, before: str) -> float:
    """Return the wider rounding that "around 43,000" claims: half of its last digit that is no zero."""
    if value == 0 or not _HEDGE.search(before[-20:]):
        return 0.0
    digits = f"{abs(value):.0f}"
    zeros = len(digits) - len(digits.rstrip("0"))
    return min(10.0**zeros / 2, _FREE_ROUNDING * abs(value))


def _share_units(found: list[tuple[re.Match[str], Quantity | Unreadable]], text: str) -> list[Quantity | Unreadable]:
    """Give "-1.2 to 3.4 %" its percent on both numbers, from right to left."""
    tokens = [token for _, token in found]
    for index in range(len(found) - 2, -1, -1):
        (left, token), (right, _), follower = found[index], found[index + 1], tokens[index + 1]
        if not isinstance(token, Quantity) or not isinstance(follower, Quantity) or token.unit is not Unit.NONE:
            continue
        if follower.unit is Unit.PERCENT and _RANGE.fullmatch(text, left.end(), right.start("body")):
            tokens[index] = replace(token, unit=Unit.PERCENT)
    return tokens
