"""All that a number in a text may stand for: facts, numbers inside retrieved passages, and sensible derivations.

With n facts there are n² pairs, among which an invented number finds a home by accident. So only pairs that people
do compare are derived, and a derived value counts only in a sentence that mentions one of its topics.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from deployments.analysis.dates import find_moments
from deployments.analysis.formats import PERCENT_DECIMALS, price_decimals
from deployments.analysis.models import Fact, FactSheet, Language
from deployments.analysis.numbers import find_numbers
from deployments.analysis.reading import Moment, Quantity, Unit, normalise
from deployments.analysis.vocabulary import Topic, is_directed, topic


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value that a text may state; `directed` values need a sign or a word for up or down where they are stated.

    A `derived` value counts only in a sentence that mentions one of its topics; a fact, only where it is stated so
    coarsely that it might be another. `slack` is what deriving from printed facts, not from exact ones, may be off.
    """

    value: float
    unit: str
    directed: bool
    topics: frozenset[Topic] = frozenset()
    derived: bool = False
    slack: float = 0.0


@dataclass(frozen=True, slots=True)
class Candidates:
    """The values and instants that a sheet supports."""

    values: tuple[Candidate, ...]
    moments: tuple[Moment, ...]


def candidates(sheet: FactSheet) -> Candidates:
    """Return everything that may be stated on the grounds of a sheet."""
    values = [candidate for fact in sheet.facts for candidate in _of_fact(fact, sheet)]
    derived = _differences(sheet) + _widths(sheet) + _shares(sheet) + _durations(sheet)
    values += [replace(candidate, slack=_printed_step(candidate.unit, sheet)) for candidate in derived]
    moments = [_moment_of(fact.value) for fact in sheet.facts if isinstance(fact.value, datetime)]
    for text in _texts(sheet):
        found, rest = find_moments(normalise(text))
        moments += [moment for moment in found if isinstance(moment, Moment)]
        values += [_quoted(token) for token in find_numbers(rest, Language.EN) if isinstance(token, Quantity)]
    return Candidates(tuple(values), tuple(moments))


def _printed_step(unit: str, sheet: FactSheet) -> float:
    """Return the last printed digit of facts of a unit: the difference of two rounded values is off by as much."""
    if unit == "price":
        return 10.0 ** -price_decimals(sheet.number("price.last") or 0.0)
    return 10.0**-PERCENT_DECIMALS if unit == "%" else 0.0


def _texts(sheet: FactSheet) -> Iterator[str]:
    yield from sheet.passages
    yield from (fact.value for fact in sheet.facts if isinstance(fact.value, str))


def _quoted(token: Quantity) -> Candidate:
    return Candidate(token.value, token.unit.value, directed=token.signed)


def _of_fact(fact: Fact, sheet: FactSheet) -> Iterator[Candidate]:
    if not isinstance(fact.value, float):
        return
    yield Candidate(fact.value, fact.unit, is_directed(fact), frozenset({topic(fact)}))
    if fact.unit == "bars":
        yield Candidate(fact.value * _hours(sheet.interval.delta), Unit.HOURS.value, directed=False)


def _moment_of(value: datetime) -> Moment:
    return Moment("", value.year, value.month, value.day, value.hour, value.minute)


def _hours(duration: timedelta) -> float:
    return duration / timedelta(hours=1)


def _differences(sheet: FactSheet) -> list[Candidate]:
    """Compare the last close with each other price: what is forecast minus the close, the close minus what was."""
    last = sheet.number("price.last")
    found: list[Candidate] = []
    for fact in sheet.facts:
        if last is None or fact.unit != "price" or not isinstance(fact.value, float) or fact.id.endswith("histogram"):
            continue
        ahead = fact.id.startswith("forecast.")
        difference = fact.value - last if ahead else last - fact.value
        topics = frozenset({topic(fact)})
        found.append(Candidate(difference, "price", directed=True, topics=topics, derived=True))
        if fact.id.startswith(("range.", "price.")) and fact.value > 0:
            found.append(Candidate(100.0 * difference / fact.value, "%", directed=True, topics=topics, derived=True))
    return [candidate for candidate in found if candidate.value]


def _widths(sheet: FactSheet) -> list[Candidate]:
    """Measure intervals and ranges, in price and in percent of the last close."""
    last = sheet.number("price.last")
    found: list[Candidate] = []
    for upper in sheet.facts:
        lower = sheet.number(upper.id.replace(".upper.", ".lower.").replace(".high", ".low"))
        is_top = ".upper." in upper.id or upper.id.endswith(".high")
        if not is_top or not last or lower is None or upper.unit != "price" or not isinstance(upper.value, float):
            continue
        topics = frozenset({topic(upper)})
        found.append(Candidate(upper.value - lower, "price", directed=False, topics=topics, derived=True))
        found.append(Candidate(100.0 * (upper.value - lower) / last, "%", directed=False, topics=topics, derived=True))
    return found


def _shares(sheet: FactSheet) -> list[Candidate]:
    """Derive the share that fell, shares against each other, coverage against its level, volatility as a ratio."""
    pairs = [("analogues.share_up", "analogues.any.share_up"), ("analogues.after.50", "analogues.any.after.50")]
    pairs += [
        (fact.id, fact.id.replace("skill.coverage.", "forecast.level.")) for fact in sheet.group("skill.coverage.")
    ]
    found: list[Candidate] = []
    for one, other in pairs:
        a, b = sheet.number(one), sheet.number(other)
        if a is not None and b is not None:
            topics = frozenset({Topic.ANALOGUES, Topic.SKILL})
            found.append(Candidate(a - b, "%", directed=True, topics=topics, derived=True))
    for fact in sheet.facts:
        if fact.id.endswith(".share_up") and isinstance(fact.value, float):
            topics = frozenset({Topic.ANALOGUES})
            found.append(Candidate(100.0 - fact.value, "%", directed=False, topics=topics, derived=True))
    day, month = sheet.number("volatility.24h"), sheet.number("volatility.30d")
    if day and month:
        topics = frozenset({Topic.VOLATILITY})
        found.append(Candidate(day / month, "ratio", directed=False, topics=topics, derived=True))
    return found


def _durations(sheet: FactSheet) -> list[Candidate]:
    """Measure how long before or after the newest data each instant lies."""
    found: list[Candidate] = []
    for fact in sheet.facts:
        if isinstance(fact.value, datetime) and fact.value != sheet.as_of:
            hours = abs(_hours(fact.value - sheet.as_of))
            topics = frozenset({topic(fact)})
            found.append(Candidate(hours, Unit.HOURS.value, directed=False, topics=topics, derived=True))
    return found
