"""The template engine: the whole analysis from facts alone, for when no language model answers in time.

Each sentence is said only where all of its facts exist, so a thin sheet gives a short text, never a hollow one.
"""

from dataclasses import dataclass

from deployments.analysis.formats import MINUS, Format
from deployments.analysis.models import AnalysisRequest, FactSheet
from deployments.analysis.phrases import PHRASES, SOURCES, STATUSES, TOPICS
from deployments.analysis.vocabulary import Topic, is_directed, topics_of


@dataclass(frozen=True, slots=True)
class Statement:
    """A finished sentence and what it is about."""

    topic: Topic
    text: str


def template_paragraphs(sheet: FactSheet, request: AnalysisRequest) -> list[str]:
    """Write the analysis: summary, what speaks to the question, price action, forecast, analogues, data."""
    say = _Say(sheet, request)
    statements = [*_price(say), *_forecast(say), *_skill(say), *_analogues(say), *_data(say)]
    paragraphs = [" ".join(_summary(say))]
    answer, rest = _answer(statements, request)
    paragraphs.append(" ".join(answer))
    for topics in (
        {Topic.PRICE, Topic.RANGE},
        {Topic.AVERAGE, Topic.MOMENTUM, Topic.VOLATILITY},
        {Topic.FORECAST, Topic.SKILL},
        {Topic.ANALOGUES, Topic.PASSAGES},
        {Topic.QUALITY},
    ):
        paragraphs.append(" ".join(statement.text for statement in rest if statement.topic in topics))
    return [paragraph for paragraph in paragraphs if paragraph]


class _Say:
    """Fill phrases of one language with facts of one sheet."""

    def __init__(self, sheet: FactSheet, request: AnalysisRequest) -> None:
        self.sheet = sheet
        self.language = request.language
        self._facts = {fact.id: fact for fact in sheet.facts}
        self._phrases = PHRASES[request.language]
        self._format = Format(request.language)

    def __call__(self, phrase: str, topic: Topic, /, **facts: str) -> list[Statement]:
        """Return the phrase with each `{name}` as the fact of the given id, or nothing where one is missing."""
        if any(fact_id not in self._facts for fact_id in facts.values()):
            return []
        return [Statement(topic, self.words(phrase, **{name: self.fact(fact_id) for name, fact_id in facts.items()}))]

    def words(self, phrase: str, **words: str) -> str:
        """Return the phrase filled with finished words."""
        return self._phrases[phrase].format(symbol=self.sheet.symbol, **words)

    def fact(self, fact_id: str) -> str:
        """Return a fact as text; one whose sign says up or down keeps the sign."""
        fact = self._facts[fact_id]
        return self._format.fact(fact, signed=is_directed(fact))

    def size(self, fact_id: str) -> str:
        """Return a fact as text without its sign, for a phrase that says up or down."""
        return self.fact(fact_id).lstrip(f"+{MINUS}")

    def has(self, fact_id: str) -> bool:
        return fact_id in self._facts

    def listed(self, items: list[str]) -> str:
        """Return "a, b and c"."""
        if len(items) < 2:
            return "".join(items)
        return f"{', '.join(items[:-1])} {self._phrases['and']} {items[-1]}"


def _summary(say: _Say) -> list[str]:
    statements = say("close", Topic.PRICE, last="price.last", as_of="data.as_of")
    outlook = say(
        "outlook",
        Topic.FORECAST,
        time="forecast.end.time",
        median="forecast.end.median",
        change="forecast.end.median.change",
    )
    statements += outlook or [Statement(Topic.FORECAST, say.words("no_outlook"))]
    if say.sheet.value("data.stale") == "yes":
        statements.append(Statement(Topic.QUALITY, say.words("stale")))
    return [statement.text for statement in statements]


def _answer(statements: list[Statement], request: AnalysisRequest) -> tuple[list[str], list[Statement]]:
    """Take the statements that speak to the question out of the rest."""
    if not request.question.strip():
        return [], statements
    asked = topics_of(request.question)
    told = [statement for statement in statements if statement.topic in asked]
    phrases = PHRASES[request.language]
    if not told:
        return [phrases["no_question"]], statements
    names = [name for topic, name in TOPICS[request.language].items() if topic in {one.topic for one in told}]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {phrases['and']} {names[-1]}"
    rest = [statement for statement in statements if statement.topic not in asked]
    return [phrases["question"].format(list=listed), *(one.text for one in told)], rest


def _price(say: _Say) -> list[Statement]:
    found = say("forming", Topic.PRICE, price="price.forming")
    changes = [
        say.words(f"change_{name}", value=say.fact(f"change.{name}"))
        for name in ("1h", "24h", "7d")
        if say.has(f"change.{name}")
    ]
    if changes:
        found.append(Statement(Topic.PRICE, say.words("changes", list=say.listed(changes))))
    for name in ("24h", "7d"):
        found += say(f"range_{name}", Topic.RANGE, low=f"range.{name}.low", high=f"range.{name}.high")
    found += say("range_30d", Topic.RANGE, low="range.30d.low", high="range.30d.high", position="range.30d.position")
    return found + _indicators(say)


def _indicators(say: _Say) -> list[Statement]:
    found: list[Statement] = []
    for name in ("short", "long"):
        sma = f"indicator.sma.{name}"
        found += say(
            f"average_{name}", Topic.AVERAGE, bars=f"setting.sma.{name}", value=sma, distance=f"{sma}.distance"
        )
    found += say("rsi", Topic.MOMENTUM, bars="setting.rsi", value="indicator.rsi")
    found += say("macd", Topic.MOMENTUM, value="indicator.macd.histogram")
    found += say("bollinger", Topic.MOMENTUM, bars="setting.bollinger", value="indicator.bollinger")
    found += say("volatility_24h", Topic.VOLATILITY, value="volatility.24h")
    if say.has("volatility.24h"):
        found += say("volatility_30d", Topic.VOLATILITY, value="volatility.30d")
    return found + say("atr", Topic.VOLATILITY, bars="setting.atr", value="indicator.atr")


def _forecast(say: _Say) -> list[Statement]:
    found: list[Statement] = []
    for fact in say.sheet.group("forecast.level."):
        level = fact.id.removeprefix("forecast.level.")
        found += say(
            "interval",
            Topic.FORECAST,
            level=fact.id,
            horizon="forecast.horizon",
            lower=f"forecast.end.lower.{level}",
            lower_change=f"forecast.end.lower.{level}.change",
            upper=f"forecast.end.upper.{level}",
            upper_change=f"forecast.end.upper.{level}.change",
        )
    found += say("step", Topic.FORECAST, median="forecast.step.median", change="forecast.step.median.change")
    status = say.sheet.value("forecast.status")
    if isinstance(status, str):
        phrase = "fallback" if status == "fallback" else "model"
        words = {"name": say.fact("forecast.model"), "status": STATUSES[say.language][status]}
        found.append(Statement(Topic.FORECAST, say.words(phrase, **words)))
    if say.sheet.group("forecast.warning."):
        found.append(Statement(Topic.FORECAST, say.words("warnings")))
    return found


def _skill(say: _Say) -> list[Statement]:
    found: list[Statement] = []
    if say.has("skill.gain"):
        words = {"n": say.fact("skill.n"), "ratio": say.fact("skill.pinball"), "gain": say.size("skill.gain")}
        phrase = "skill_better" if (say.sheet.number("skill.gain") or 0.0) >= 0 else "skill_worse"
        found.append(Statement(Topic.SKILL, say.words(phrase, **words)))
    for fact in say.sheet.group("skill.coverage."):
        level = f"forecast.level.{fact.id.removeprefix('skill.coverage.')}"
        found += say("coverage", Topic.SKILL, level=level, share=fact.id)
    if not found and say.has("forecast.model"):
        found = [Statement(Topic.SKILL, say.words("no_skill"))]
    return found


def _analogues(say: _Say) -> list[Statement]:
    found: list[Statement] = []
    if say.sheet.number("analogues.n"):
        shares = {"share": "analogues.share_up", "base": "analogues.any.share_up"}
        found += say("analogues", Topic.ANALOGUES, n="analogues.n", **shares)
        after = {"median": "analogues.after.50", "low": "analogues.after.10", "high": "analogues.after.90"}
        found += say("analogues_after", Topic.ANALOGUES, **after)
        found += say("nearest", Topic.ANALOGUES, start="analogues.nearest.start")
    return found + say("passages", Topic.PASSAGES, n="passages.n", time="passage.1.time")


def _data(say: _Say) -> list[Statement]:
    found = say("quality", Topic.QUALITY, bars="data.bars", source="data.source")
    if say.sheet.number("data.gaps"):
        found += say("gaps", Topic.QUALITY, gaps="data.gaps", missing="data.gap_bars")
    else:
        found.append(Statement(Topic.QUALITY, say.words("no_gaps")))
    if say.sheet.number("quality.quarantined"):
        found += say("quarantined", Topic.QUALITY, n="quality.quarantined")
    missing = [SOURCES[say.language][fact.id.removeprefix("missing.")] for fact in say.sheet.group("missing.")]
    if missing:
        found.append(Statement(Topic.QUALITY, say.words("missing", list=say.listed(missing))))
    return found
