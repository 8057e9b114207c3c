"""Live skill at hand: computed beside the requests, looked up within them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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

REMEMBERED = 2_000
"""Symbols whose skill is kept at hand: beyond it the one that nobody asked for the longest goes."""

NEVER = datetime.min.replace(tzinfo=UTC)

ReadAccuracy = Callable[[str], Awaitable[tuple[AccuracyRow, ...]]]


@dataclass(frozen=True, slots=True)
class _Page:
    renewed_at: datetime
    rows: tuple[AccuracyRow, ...]


class Skillbook:
    """Remember the accuracy of the `REMEMBERED` symbols asked for last, renewed by `refresh`."""

    def __init__(self, accuracy: ReadAccuracy, clock: Clock) -> None:
        self._accuracy = accuracy
        self._clock = clock
        self._pages: dict[str, _Page] = {}

    def skill(self, symbol: str, interval: Interval, horizon: int, name: str, card: ModelCard | None) -> Skill | None:
        """Return the live skill of a model on a symbol, else that of its test span, else None."""
        wanted = (interval, horizon, name, card.version if card else None)
        for row in self._asked(symbol).rows:
            if (row.interval, row.horizon, row.model, row.version) == wanted and row.skill.n >= MIN_RESOLVED:
                return row.skill
        return self.on_test(card)

    def on_test(self, card: ModelCard | None) -> Skill | None:
        """Return the skill of a model on its own test span, None for a baseline."""
        return skill_on_test(card.metrics) if card else None

    async def refresh(self) -> None:
        """Renew what was asked for and is older than `FRESH_FOR`, the oldest first, a bounded number at a time."""
        now = self._clock()
        ages = sorted((page.renewed_at, symbol) for symbol, page in self._pages.items())
        due = [symbol for renewed_at, symbol in ages if renewed_at <= now - FRESH_FOR]
        for symbol in due[:SYMBOLS_PER_ROUND]:
            try:
                rows = await self._accuracy(symbol)
            except Exception as error:
                log.warning("live skill unknown", symbol=symbol, reason=type(error).__name__)
                rows = self._pages[symbol].rows if symbol in self._pages else ()
            # It may have been forgotten while it was read.
            if symbol in self._pages:
                self._pages[symbol] = _Page(now, rows)

    def _asked(self, symbol: str) -> _Page:
        """Return what is known of a symbol and put it behind all others in the order of forgetting."""
        page = self._pages.pop(symbol, _Page(NEVER, ()))
        self._pages[symbol] = page
        while len(self._pages) > REMEMBERED:
            self._pages.pop(next(iter(self._pages)))
        return page
