"""Findings of a made-up market, and the three contexts that tell of them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from deployments.analysis.findings import Findings
from deployments.forecasting.models import (
    Forecast,
    ForecastPoint,
    ForecastRequest,
    ForecastStatus,
    ModelRef,
    Skill,
)
from deployments.knowledge.models import (
    Analogue,
    AnalogueQuery,
    Analogues,
    PassageKind,
    ReturnDistribution,
    SearchAnswer,
    SearchHit,
    SearchQuery,
)
from deployments.market_data.findings import QualityReport
from deployments.market_data.models import CANDLE_SCHEMA, Bar, CandleQuery, Candles, Gap, Interval, LatestCandle, Source

START = datetime(2023, 11, 20, tzinfo=UTC)
BARS = 40 * 24
AS_OF = START + timedelta(hours=BARS)


def candles(seed: int = 1, start_price: float = 43_000.0, bars: int = BARS, stale: bool = False) -> Candles:
    """A random walk of hourly bars."""
    draw = np.random.default_rng(seed)
    close = start_price * np.exp(np.cumsum(draw.normal(0, 0.004, bars)))
    opened = np.concatenate([[start_price], close[:-1]])
    spread = 1 + np.abs(draw.normal(0, 0.002, bars))
    table = pa.table(
        {
            "time": [START + timedelta(hours=hour) for hour in range(bars)],
            "open": opened,
            "high": np.maximum(opened, close) * spread,
            "low": np.minimum(opened, close) / spread,
            "close": close,
            "volume": draw.gamma(2.0, 10.0, bars),
        },
        schema=CANDLE_SCHEMA,
    )
    gaps = (Gap(START + timedelta(hours=5), START + timedelta(hours=7), 3),) if stale else ()
    return Candles("BTCUSDT", Interval.H1, table, Source.DATABASE, START + timedelta(hours=bars), stale, gaps)


def last_close(found: Candles) -> float:
    return float(found.table.column("close")[-1].as_py())


def forecast(last: float, as_of: datetime, seed: int = 1, horizon: int = 24) -> Forecast:
    draw = np.random.default_rng(seed + 1000)
    points = []
    for step in range(1, horizon + 1):
        median = last * float(np.exp(draw.normal(0, 0.003)))
        reach = last * 0.004 * step**0.5
        points.append(
            ForecastPoint(
                as_of + timedelta(hours=step - 1),
                median,
                {"80": median - 1.28 * reach, "90": median - 1.64 * reach},
                {"80": median + 1.28 * reach, "90": median + 1.64 * reach},
            )
        )
    ratio = float(draw.uniform(0.9, 1.1))
    return Forecast(
        "BTCUSDT",
        Interval.H1,
        horizon,
        as_of + timedelta(minutes=1),
        as_of,
        as_of + timedelta(hours=1),
        ForecastStatus.FRESH,
        ModelRef("nhits", "20231229-1412-a1b2", as_of - timedelta(days=1)),
        (80.0, 90.0),
        tuple(points),
        Skill(ratio, 1.23, {"80": 0.7912, "90": 0.893}, 412, "live"),
    )


def analogues(as_of: datetime, seed: int = 1) -> Analogues:
    draw = np.random.default_rng(seed + 2000)
    after = tuple(float(value) for value in draw.normal(0, 1, 24))
    matches = tuple(
        Analogue("BTCUSDT", START + timedelta(days=day), START + timedelta(days=day, hours=47), 0.1 * day, after)
        for day in (3, 9, 17)
    )
    conditional = ReturnDistribution({"10": -1.84, "25": -0.6, "50": after[0], "75": 1.0, "90": 2.31}, 0.6, 10)
    anything = ReturnDistribution({"10": -2.05, "25": -0.7, "50": 0.03, "75": 0.8, "90": 2.12}, 0.5137, 5210)
    return Analogues("BTCUSDT", Interval.H1, 48, 24, as_of, matches, conditional, anything)


def hits() -> tuple[SearchHit, ...]:
    return tuple(
        SearchHit(
            f"{number:016x}",
            0.9 - number / 10,
            "BTCUSDT",
            Interval.H1,
            START + timedelta(days=number),
            PassageKind.DAY,
            f"BTCUSDT on 2023-11-{20 + number}: return +{number}.37 %, range 41,234.5 to 43,987.25, volume 12,345.6.",
        )
        for number in (1, 2)
    )


def make_findings(seed: int = 1, start_price: float = 43_000.0, bars: int = BARS, stale: bool = False) -> Findings:
    found = candles(seed, start_price, bars, stale)
    last, as_of = last_close(found), found.data_as_of or AS_OF
    bar = Bar(as_of - timedelta(hours=1), last, last, last, last, 1.0)
    forming = Bar(as_of, last, last, last, last * 1.0007, 1.0)
    return Findings(
        candles=found,
        latest=LatestCandle("BTCUSDT", Interval.H1, bar, forming, 1.0, Source.DATABASE, as_of, stale),
        quality=QualityReport("BTCUSDT", Interval.H1, bars, START, as_of, {"gap": 1, "jump": 2}, (), ()),
        forecast=forecast(last, as_of, seed),
        analogues=analogues(as_of, seed),
        search=SearchAnswer(hits(), 4321, as_of, False),
    )


class FakeMarket:
    """Market data, forecaster and knowledge in one; `failing` names methods and what they raise."""

    def __init__(self, findings: Findings, failing: dict[str, Exception] | None = None) -> None:
        self.findings = findings
        self.failing = failing or {}
        self.queries: list[CandleQuery] = []
        self.asked_as_of: list[datetime | None] = []

    def _or_fail(self, name: str) -> None:
        if name in self.failing:
            raise self.failing[name]

    async def candles(self, query: CandleQuery) -> Candles:
        self.queries.append(query)
        self._or_fail("candles")
        return self.findings.candles

    async def latest(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> LatestCandle:
        self._or_fail("latest")
        assert self.findings.latest is not None
        return self.findings.latest

    async def quality(self, symbol: str, interval: Interval, as_of: datetime | None = None) -> QualityReport:
        self.asked_as_of.append(as_of)
        self._or_fail("quality")
        assert self.findings.quality is not None
        return self.findings.quality

    async def forecast(self, request: ForecastRequest) -> Forecast:
        self._or_fail("forecast")
        assert self.findings.forecast is not None
        return self.findings.forecast

    async def analogues(self, query: AnalogueQuery) -> Analogues:
        self._or_fail("analogues")
        assert self.findings.analogues is not None
        return self.findings.analogues

    async def search(self, query: SearchQuery) -> SearchAnswer:
        self._or_fail("search")
        assert self.findings.search is not None
        return self.findings.search
