"""What a text states: quantities and moments as values, whatever script, separators or dashes it uses."""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe58\ufe63\uff0d"
_NARROW_SPACES = "\u00a0\u2007\u2009\u202f"
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_SUPERSCRIPT_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")

NARROW_SPACE = "\u00a0"
"""The one narrow or unbreakable space left after `normalise`; it may group thousands."""


class Unit(StrEnum):
    """What a quantity counts, as far as the words beside it say."""

    NONE = ""
    PERCENT = "%"
    HOURS = "hours"
    BARS = "bars"
    PRICE = "price"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as written: `tolerance` is half a unit of its last digit, `signed` that it carries a + or −.

    `start` is where it stands in the normalised text.
    """

    text: str
    value: float
    tolerance: float
    unit: Unit
    signed: bool
    start: int


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, a time of day, or both, in UTC; parts that the text leaves open are None."""

    text: str
    year: int | None = None
    month: int | None = None
    day: int | None = None
    hour: int | None = None
    minute: int | None = None

    def agrees_with(self, other: "Moment") -> bool:
        """Return whether every part stated here is stated by `other`, with the same value."""
        parts = ("year", "month", "day", "hour", "minute")
        return all(getattr(self, part) in (None, getattr(other, part)) for part in parts)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that states a number which cannot be checked: spelled-out numbers, fractions, foreign time zones."""

    text: str


Token = Quantity | Moment | Unreadable


def normalise(text: str) -> str:
    """Return the text with ASCII digits and minus signs, one kind of narrow space, and nothing invisible."""
    powers = _SUPERSCRIPT_RUN.sub(lambda run: "^" + run.group().translate(_SUPERSCRIPTS), text)
    return "".join(_plain(character) for character in powers if character not in _INVISIBLE)


def _plain(character: str) -> str:
    if character in _DASHES:
        return "-"
    if character in _NARROW_SPACES:
        return NARROW_SPACE
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    return {"٪": "%", "％": "%", "．": ".", "，": ",", "：": ":", "’": "'"}.get(character, character)
