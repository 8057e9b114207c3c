"""Numbers, instants and facts as a language writes them."""

import math
from dataclasses import dataclass
from datetime import datetime

from deployments.analysis.models import Fact, Language

_GERMAN = str.maketrans(",.", ".,")
MINUS = "−"
PERCENT_DECIMALS = 2


def price_decimals(value: float) -> int:
    """Return how many decimals a price of this size is printed with."""
    size = math.floor(math.log10(abs(value))) if value else 0
    return min(10, max(2, 5 - size))


@dataclass(frozen=True, slots=True)
class Format:
    """Write values for readers of one language."""

    language: Language

    def number(self, value: float, decimals: int, signed: bool = False) -> str:
        """Return a number with grouped thousands and a true minus sign."""
        text = f"{value:{'+' if signed else ''}z,.{decimals}f}"
        if self.language is Language.DE:
            text = text.translate(_GERMAN)
        return text.replace("-", MINUS)

    def price(self, value: float, signed: bool = False) -> str:
        """Return a price with about seven significant digits, at least two decimals."""
        return self.number(value, price_decimals(value), signed)

    def percent(self, value: float, signed: bool = False) -> str:
        """Return a percentage, whole ones without decimals."""
        decimals = 0 if float(value).is_integer() and not signed else PERCENT_DECIMALS
        return f"{self.number(value, decimals, signed)} %"

    def plain(self, value: float) -> str:
        """Return a count as it is, any other number with two decimals."""
        return self.number(value, 0 if float(value).is_integer() else 2)

    def instant(self, value: datetime) -> str:
        """Return an instant in UTC, to the minute."""
        pattern = "%d.%m.%Y %H:%M UTC" if self.language is Language.DE else "%Y-%m-%d %H:%M UTC"
        return value.strftime(pattern)

    def fact(self, fact: Fact, signed: bool = False) -> str:
        """Return the value of a fact with its unit, in the precision in which it may be quoted."""
        if isinstance(fact.value, datetime):
            return self.instant(fact.value)
        if isinstance(fact.value, str):
            return fact.value
        if fact.unit == "price":
            return self.price(fact.value, signed)
        if fact.unit == "%":
            return self.percent(fact.value, signed)
        if fact.unit in {"ratio", "index"}:
            return self.number(fact.value, 3 if fact.unit == "ratio" else 1)
        return self.plain(fact.value)
