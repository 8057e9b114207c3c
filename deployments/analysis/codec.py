"""Analyses as JSON: for the store, and for the events of a stream, where times are written with Z."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
from pydantic import TypeAdapter

from deployments.analysis.models import Analysis, Fact

_OPTIONS = orjson.OPT_UTC_Z
_ANALYSIS = TypeAdapter(Analysis)


def encode(analysis: Analysis) -> str:
    """Return an analysis as JSON text that `decode` reads back equal."""
    return orjson.dumps(analysis, option=_OPTIONS).decode()


def decode(text: str) -> Analysis:
    """Return the analysis that `encode` wrote."""
    analysis = _ANALYSIS.validate_json(text)
    return replace(analysis, facts=tuple(_with_instant(fact) for fact in analysis.facts))


def plain(value: object) -> Any:
    """Return a value type as the dicts, lists and texts that its JSON holds."""
    return orjson.loads(orjson.dumps(value, option=_OPTIONS))


def _with_instant(fact: Fact) -> Fact:
    # JSON has no instants, so the unit tells which text was one.
    if fact.unit != "time" or not isinstance(fact.value, str):
        return fact
    return replace(fact, value=datetime.fromisoformat(fact.value))
