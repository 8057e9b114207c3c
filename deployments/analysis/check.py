"""The number check: every number, date and time of a text resolves to a fact or to a derivation of two, or is named.

A stated number resolves within the rounding that its own digits imply. Units count: a percentage is no price. Signs
count: a fall needs a minus or a word for it. What it cannot see is a true number said of the wrong thing.
"""

import re
from dataclasses import dataclass

from deployments.analysis.candidates import Candidate, Candidates, candidates
from deployments.analysis.dates import find_moments
from deployments.analysis.models import CheckReport, FactSheet, Language
from deployments.analysis.numbers import find_numbers
from deployments.analysis.reading import Moment, Quantity, Token, Unit, Unreadable, normalise
from deployments.analysis.sentences import sentences
from deployments.analysis.vocabulary import direction_at, topics_of

_ALLOWED = {
    Unit.PERCENT: frozenset({"%"}),
    Unit.HOURS: frozenset({"hours"}),
    Unit.BARS: frozenset({"bars", "count"}),
    Unit.PRICE: frozenset({"price", ""}),
    Unit.NONE: frozenset({"price", "index", "ratio", "bars", "count", "hours", ""}),
}
_COARSE_PERCENT = 0.0499
"""One decimal or none: measured, 14 to 38 % of invented changes within 10 and 2 % met some fact of a full sheet."""
_COARSE_SHARE = 0.0005
"""Half a thousandth: about the distance of neighbouring prices on a full sheet."""
_ROUNDING_NOISE = 1e-12
"""Relative slack for binary floating point: 0.15 printed with one digit is 0.1 or 0.2, both right."""


@dataclass(frozen=True, slots=True)
class Miss:
    """A sentence and what in it resolves to nothing."""

    sentence: str
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """The report on a text and its sentences that do not hold."""

    report: CheckReport
    misses: tuple[Miss, ...]

    @property
    def unresolved(self) -> tuple[str, ...]:
        """The sentences that state a number without grounds."""
        return tuple(miss.sentence for miss in self.misses)


class NumberCheck:
    """Check texts against one sheet; build it once per sheet, for a sheet's derivations cost more than a text."""

    def __init__(self, sheet: FactSheet, language: Language) -> None:
        self._grounds: Candidates = candidates(sheet)
        self._language = language
        self._names = _names(sheet)

    def check(self, text: str) -> Checked:
        """Return how many numbers the text states, how many resolve, and the sentences with one that does not."""
        numbers = resolved = 0
        misses: list[Miss] = []
        for sentence in sentences(text):
            tokens, plain = self._read(sentence)
            lost = tuple(token.text for token in tokens if not self._resolves(token, plain))
            numbers += len(tokens)
            resolved += len(tokens) - len(lost)
            if lost:
                misses.append(Miss(sentence, lost))
        return Checked(CheckReport(numbers, resolved), tuple(misses))

    def _read(self, sentence: str) -> tuple[list[Token], str]:
        plain = self._names.sub(lambda name: " " * len(name.group()), normalise(sentence))
        moments, rest = find_moments(plain)
        return [*moments, *find_numbers(rest, self._language)], plain

    def _resolves(self, token: Token, sentence: str) -> bool:
        if isinstance(token, Unreadable):
            return False
        if isinstance(token, Moment):
            return any(token.agrees_with(moment) for moment in self._grounds.moments)
        return self._is_year(token) or any(_stands_for(token, value, sentence) for value in self._grounds.values)

    def _is_year(self, token: Quantity) -> bool:
        return token.unit is Unit.NONE and any(token.text == str(moment.year) for moment in self._grounds.moments)


def check(text: str, sheet: FactSheet, language: Language) -> Checked:
    """Check one text against a sheet."""
    return NumberCheck(sheet, language).check(text)


def _stands_for(token: Quantity, candidate: Candidate, sentence: str) -> bool:
    if candidate.unit not in _ALLOWED[token.unit]:
        return False
    if not _agrees(token, candidate, sentence):
        return False
    if not candidate.topics or not (candidate.derived or _is_coarse(token, candidate)):
        return True
    return bool(candidate.topics & topics_of(sentence))


def _is_coarse(token: Quantity, candidate: Candidate) -> bool:
    """Tell a number so rounded that it fits one of many facts: 1.2 % with a dozen changes about, "around 43,000"."""
    if candidate.unit == "%":
        return token.tolerance >= _COARSE_PERCENT
    return candidate.unit == "price" and token.tolerance > _COARSE_SHARE * abs(token.value)


def _agrees(token: Quantity, candidate: Candidate, sentence: str) -> bool:
    slack = token.tolerance + candidate.slack + _ROUNDING_NOISE * max(abs(token.value), abs(candidate.value))
    if token.signed:
        return abs(token.value - candidate.value) <= slack
    if abs(token.value - abs(candidate.value)) > slack:
        return False
    direction = direction_at(sentence, token.start)
    if candidate.value < 0:
        return direction < 0
    return direction >= 0 or not candidate.directed


def _names(sheet: FactSheet) -> re.Pattern[str]:
    """Match the names that may hold digits without stating a number: symbol, interval, model, ids of facts."""
    names = {sheet.symbol, sheet.interval.value, *(fact.id for fact in sheet.facts)}
    names |= {str(sheet.value(fact_id) or "") for fact_id in ("forecast.model", "forecast.version")}
    names |= {f"passage.{number}" for number in range(1, len(sheet.passages) + 1)}
    longest_first = sorted(filter(None, names), key=lambda name: (-len(name), name))
    return re.compile(r"(?<![\w.])(?:" + "|".join(map(re.escape, longest_first)) + r")(?![\w]|\.\d)")
