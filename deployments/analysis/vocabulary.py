"""The words that English and German texts use for the topics of a fact sheet, and for up and down."""

import re
from enum import StrEnum

from deployments.analysis.models import Fact


class Topic(StrEnum):
    """What a fact is about; a question is answered by the facts of the topics it mentions."""

    FORECAST = "forecast"
    SKILL = "skill"
    ANALOGUES = "analogues"
    AVERAGE = "average"
    RANGE = "range"
    VOLATILITY = "volatility"
    MOMENTUM = "momentum"
    QUALITY = "quality"
    PASSAGES = "passages"
    PRICE = "price"


_WORDS = {
    Topic.FORECAST: r"forecast|predict|expect|outlook|median|interval|bound|band\b|reach|will\b|tomorrow|next|target"
    r"|prognos|vorhersag|erwart|ausblick|intervall|schranke|grenze|spanne|erreich|wird\b|morgen|nächst|ziel",
    Topic.SKILL: r"skill|accura|baseline|reliab|trust|cover|pinball|mase\b|good is|advantage|edge\b|outcome"
    r"|ergebnis|güte|genau|vergleichsmodell|zuverläss|vertrau|abdeckung|treffsicher|vorsprung|rückstand",
    Topic.ANALOGUES: r"analog|similar|same shape|histor|before|pattern|precedent|past\b|cases|any bar"
    r"|beliebig|ähnlich|gleicher form|muster|vergangen|früher|fälle",
    Topic.AVERAGE: r"\bsma|average|mean\b|trend|durchschnitt|mittel",
    Topic.RANGE: r"range|high\b|low\b|support|resist|top\b|bottom|spanne|hoch\b|tief\b|unterstützung|widerstand",
    Topic.VOLATILITY: r"volatil|risk|swing|\batr\b|true range|stop|schwank|risik",
    Topic.MOMENTUM: r"momentum|rsi\b|macd|bollinger|overbought|oversold|überkauft|überverkauft|schwung",
    Topic.QUALITY: r"quality|gap|stale|missing|clean|data\b|qualität|lücke|veraltet|fehl|daten",
    Topic.PASSAGES: r"passage|happened|news|knowledge|note|wissen|geschah|passiert|notiz",
    Topic.PRICE: r"price|chang|clos|trad|moved?\b|moves\b|gain|los[st]|up\b|down\b|rose\b|ris|fell\b|fall|drop|stand"
    r"|quot|preis|kurs|änder|schl[ou]ss|gestiegen|stieg|steig|gefallen|fiel|fällt|verlor|gewann|steht|notier",
}
_PATTERNS = {topic: re.compile(rf"(?:\b(?:{words}))", re.IGNORECASE) for topic, words in _WORDS.items()}
_TOPIC_OF = (
    ("forecast.", Topic.FORECAST),
    ("skill.", Topic.SKILL),
    ("analogues.", Topic.ANALOGUES),
    ("indicator.sma", Topic.AVERAGE),
    ("indicator.atr", Topic.VOLATILITY),
    ("indicator.", Topic.MOMENTUM),
    ("range.", Topic.RANGE),
    ("volatility.", Topic.VOLATILITY),
    ("passage", Topic.PASSAGES),
    ("price.", Topic.PRICE),
    ("change.", Topic.PRICE),
)

_UP = re.compile(
    r"\b(?:rose|rise[sn]?|rising|gain\w*|increas\w*|climb\w*|advanc\w*|higher|above|up(?:side|ward)?|plus|added|ahead"
    r"|better|exceed\w*|stieg\w*|steig\w*|gestieg\w*|gewann\w*|gewinn\w*|gewonnen|anstieg\w*|höher\w*|oberhalb"
    r"|über de[mnr]|plus|zuwachs|zugelegt|legte|vorsprung|besser)\b",
    re.IGNORECASE,
)
_DOWN = re.compile(
    r"\b(?:f[ae]ll(?:s|en|ing)?|drop\w*|declin\w*|los[ts]\w*|loss\w*|decreas\w*|shed|slid\w*|slip\w*"
    r"|lower(?!\s+(?:bound|end|edge|limit|band|\d))|below|beneath|under|down(?:side|ward)?|minus|behind|worse|negative"
    r"|fiel\w*|fäll\w*|gefallen|sank\w*|sink\w*|gesunken|verlor\w*|verlust\w*|rückgang\w*|niedriger\w*|tiefer|unterhalb"
    r"|unter de[mnr]|nachgegeben|gab|rückstand|schlechter|negativ)\b",
    re.IGNORECASE,
)
_DIRECTED = re.compile(r"^change\.|\.change$|\.distance$|\.after\.|^skill\.gain$|\.histogram$")


def topics_of(text: str) -> frozenset[Topic]:
    """Return the topics that a text mentions."""
    return frozenset(topic for topic, pattern in _PATTERNS.items() if pattern.search(text))


def topic(fact: Fact) -> Topic:
    """Return what a fact is about."""
    return next((what for prefix, what in _TOPIC_OF if fact.id.startswith(prefix)), Topic.QUALITY)


def is_directed(fact: Fact) -> bool:
    """Tell whether the sign of a fact says up or down, so that an unsigned number needs a word for it."""
    return bool(_DIRECTED.search(fact.id))


def direction_at(sentence: str, position: int) -> int:
    """Return +1 or -1 as the word nearest to a position says up or down, 0 where none does."""
    words = [(_distance(match, position), +1) for match in _UP.finditer(sentence)]
    words += [(_distance(match, position), -1) for match in _DOWN.finditer(sentence)]
    return min(words)[1] if words else 0


def _distance(match: re.Match[str], position: int) -> int:
    return position - match.end() if match.end() <= position else match.start() - position
