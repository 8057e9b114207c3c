"""Live skill at hand: computed beside the requests, looked up within them."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from deployments.common.clock import Clock
from deployments.common.telemetry import logger
from deployments.forecasting.judging.evaluation import skill_on_test
from deployments.forecasting.models import AccuracyRow, ModelCard, Skill
from deployments.market_data.models import Interval

log = logger(__name__)

MIN_RESOLVED = 20
"""Resolved forecasts below which live skill is noise and the model's own test span is told."""

FRESH_FOR = timedelta(minutes=5)
SYMBOLS_PER_ROUND = 20

ReadAccuracy = Callable[[str], Awaitable[tuple[AccuracyRow, ...]]]


class Skillbook:
    """Remember the accuracy of the symbols that are asked for, renewed by `refresh`."""

    def __init__(self, accuracy: ReadAccuracy, clock: Clock) -> None:
        self._accuracy = accuracy
        self._clock = clock
        self._rows: dict[str, tuple[AccuracyRow, ...]] = {}
        self._wanted: dict[str, datetime] = {}

    def skill(self, symbol: str, interval: Interval, horizon: int, name: str, card: ModelCard | None) -> Skill | None:
        """Return the live skill of a model on a symbol, else that of its test span, else None."""
        self._wanted.setdefault(symbol, datetime.min.replace(tzinfo=self._clock().tzinfo))
        wanted = (interval, horizon, name, card.version if card else None)
        for row in self._rows.get(symbol, ()):
            if (row.interval, row.horizon, row.model, row.version) == wanted and row.skill.n >= MIN_RESOLVED:
                return row.skill
        return self.on_test(card)

    def on_test(self, card: ModelCard | None) -> Skill | None:
        """Return the skill of a model on its own test span, None for a baseline."""
        return skill_on_test(card.metrics) if card else None

    async def refresh(self) -> None:
        """Renew what was asked for and is older than `FRESH_FOR`, the oldest first, a bounded number at a time."""
        now = self._clock()
        due = sorted((since, symbol) for symbol, since in self._wanted.items() if since <= now - FRESH_FOR)
        for _, symbol in due[:SYMBOLS_PER_ROUND]:
            self._wanted[symbol] = now
            try:
                self._rows[symbol] = await self._accuracy(symbol)
            except Exception as error:
                log.warning("live skill unknown", symbol=symbol, reason=type(error).__name__)
