"""Answers: bytes ready for the wire, and the envelopes that the OpenAPI document describes."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from deployments.analysis.models import Analysis
from deployments.common.errors import CandlecastError
from deployments.forecasting.models import AccuracyRow, Forecast, ModelRef, PastForecast, TrainingRun
from deployments.gateway.models import CallerKind, Scope
from deployments.gateway.wire.encoding import to_json
from deployments.gateway.wire.problems import problem_of
from deployments.market_data.models import (
    Bar,
    DiscoveredSymbol,
    Gap,
    Interval,
    LatestCandle,
    ManagedSymbol,
    QueryLogEntry,
    Source,
)


class SymbolsAnswer(BaseModel):
    symbols: list[DiscoveredSymbol]


class SymbolPageAnswer(BaseModel):
    symbols: list[ManagedSymbol]
    next_cursor: str | None


class ManagedSymbolAnswer(BaseModel):
    """A managed symbol's fields, and how fresh its candles and its model are."""

    symbol: str
    latest: LatestCandle | None
    last_price: float | None
    change_24h_percent: float | None
    data_as_of: datetime | None
    stale: bool | None
    model: ModelRef | None


class CandlesAnswer(BaseModel):
    symbol: str
    interval: Interval
    count: int
    candles: list[Bar] | dict[str, list[Any]]
    source: Source
    data_as_of: datetime | None
    stale: bool
    gaps: list[Gap]
    forming: bool
    incomplete: list[datetime]


class CandleBatchAnswer(BaseModel):
    results: dict[str, CandlesAnswer]
    errors: dict[str, dict[str, Any]]


class ForecastBatchAnswer(BaseModel):
    results: dict[str, Forecast]
    errors: dict[str, dict[str, Any]]


class PastForecastsAnswer(BaseModel):
    forecasts: list[PastForecast]


class AccuracyAnswer(BaseModel):
    rows: list[AccuracyRow]


class TrainingRunsAnswer(BaseModel):
    runs: list[TrainingRun]


class AnalysesAnswer(BaseModel):
    analyses: list[Analysis]


class QueryLogsAnswer(BaseModel):
    entries: list[QueryLogEntry]


class LoginLinkAnswer(BaseModel):
    url_path: str
    expires_at: datetime
    scope: Scope


class SessionAnswer(BaseModel):
    """Who calls, and every scope that the caller's own include."""

    name: str
    kind: CallerKind
    scopes: list[Scope]


class HealthAnswer(BaseModel):
    service: str
    status: str
    version: str
    timescaledb_host: str | None
    sync_service_status: str


class ProblemAnswer(BaseModel):
    """An error as RFC 9457 has it; `instance` is the request id."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return the JSON answer of anything that has a JSON form."""
    return Response(to_json(value), status, headers, "application/json")


def batch_body(results: Mapping[str, object], errors: Mapping[str, CandlecastError]) -> dict[str, Any]:
    """Return results and problems side by side, so that one bad symbol never fails the rest."""
    return {"results": dict(results), "errors": {name: problem_of(error) for name, error in errors.items()}}


def fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass, one level deep."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
