"""Value types of analysis."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from deployments.market_data.models import Interval


class Language(StrEnum):
    EN = "en"
    DE = "de"


class Engine(StrEnum):
    OLLAMA = "ollama"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class AnalysisRequest:
    """`question` is free text; `model` overrides the Ollama model; `as_of` binds every fact."""

    symbol: str
    interval: Interval = Interval.H1
    horizon: int = 24
    question: str = ""
    language: Language = Language.EN
    model: str | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement of the fact sheet; `value` is a number, a text or an instant, `unit` may be empty."""

    id: str
    label: str
    value: float | str | datetime
    unit: str
    as_of: datetime
    source: str


@dataclass(frozen=True, slots=True)
class FactSheet:
    symbol: str
    interval: Interval
    as_of: datetime
    facts: tuple[Fact, ...]
    passages: tuple[str, ...] = ()

    def value(self, fact_id: str) -> float | str | datetime | None:
        """Return the value of a fact, None where the sheet lacks it."""
        return next((fact.value for fact in self.facts if fact.id == fact_id), None)

    def number(self, fact_id: str) -> float | None:
        """Return the value of a numeric fact, None where the sheet lacks it or it is no number."""
        value = self.value(fact_id)
        return value if isinstance(value, float) else None

    def group(self, prefix: str) -> tuple[Fact, ...]:
        """Return the facts whose id starts with `prefix`, in the sheet's order."""
        return tuple(fact for fact in self.facts if fact.id.startswith(prefix))


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What the number check found: numbers seen, numbers resolved to facts, sentences removed, repair rounds used."""

    numbers: int
    resolved: int
    removed: tuple[str, ...] = ()
    repaired: int = 0

    @property
    def passed(self) -> bool:
        return self.numbers == self.resolved


@dataclass(frozen=True, slots=True)
class Analysis:
    """An analysis with all that is needed to repeat and to score it.

    `engine_reason` says why the template answered in place of the LLM; `timings_ms` by stage.
    """

    id: str
    symbol: str
    interval: Interval
    horizon: int
    created_at: datetime
    data_as_of: datetime
    stale: bool
    language: Language
    question: str
    engine: Engine
    engine_reason: str
    model: str
    text: str
    facts: tuple[Fact, ...]
    passages: tuple[str, ...]
    check: CheckReport
    prompt_hash: str = ""
    model_digest: str = ""
    tokens: dict[str, int] = field(default_factory=dict)
    timings_ms: dict[str, float] = field(default_factory=dict)
    score: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class AnalysisEvent:
    """One event of a streamed analysis: `facts`, `token`, `check` or `done`, with JSON-ready data."""

    name: str
    data: Any


@dataclass(frozen=True, slots=True)
class AnalystHealth:
    ollama: str
    """`ok`, `absent` (no URL) or `down`."""
    model: str
    reason: str = ""
