"""Price paths of the demo market: invented, but with the habits of real ones.

Log volatility is the sum of a slow component and storms that a whole market shares, a daily and an hourly component
of each symbol, and the season of the week. Innovations are Student-t and partly the market's; the log price drifts
back to its anchor with a half-life of a year, so no price wanders off. Highs and lows follow the exact law of the
extremes of a Brownian bridge between open and close.

Every draw depends on the seed, the name and the week alone, and every path starts at `EPOCH`: a restart tells the
same history.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from deployments.local_stack.demo_symbols import STEP, STEPS_PER_WEEK, DemoSymbol, Floats
from deployments.market_data.calendars.calendar import calendar_named
from deployments.market_data.instants import to_numpy, width

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
"""A Monday: weeks of the generator start where the season of the week does."""

WEEK = timedelta(weeks=1)
TAIL = 5.0
"""Degrees of freedom of the innovations; hourly returns of liquid markets show 3 to 6."""

CLOSED_FACTOR = 0.2
"""Volatility while a market is closed: a weekend then moves the price about as much as a few open hours."""

STORM_THRESHOLD = 1.0
STORM_FACTOR = 0.6
COMPONENT_SCALE = 0.25
MEAN_LOG_VOLATILITY = -0.35
"""Brings the mean square of the volatility factor back to about 1: the components are log-normal."""


class AutoRegression:
    """Rows of first-order autoregressions that go on from week to week."""

    def __init__(self, rows: int, half_life: timedelta, *, unit_variance: bool = True) -> None:
        self._decay = 0.5 ** (STEP.delta / half_life)
        self._gain = float(np.sqrt(1 - self._decay**2)) if unit_variance else 1.0
        self.last = np.zeros(rows)

    def continue_with(self, shocks: Floats) -> Floats:
        """Return the path that follows, given shocks of shape (rows, steps)."""
        start = self._decay * self.last[:, None]
        path: Floats = lfilter([self._gain], [1.0, -self._decay], shocks, axis=1, zi=start)[0]
        self.last = path[:, -1].copy()
        return path


@dataclass(frozen=True, slots=True)
class Week:
    """One week of 5-minute steps of all symbols, arrays of shape (symbols, steps).

    `path` has one column more: the price before the first step, then each step's close.
    """

    start: datetime
    path: Floats
    high: Floats
    low: Floats
    volume: Floats
    is_open: npt.NDArray[np.bool_]


class Generator:
    """Produce the weeks since `EPOCH`, one after the other."""

    def __init__(self, symbols: Sequence[DemoSymbol], seed: int) -> None:
        self._symbols = tuple(symbols)
        self._markets = tuple(dict.fromkeys(symbol.market for symbol in symbols))
        self._market_of = np.array([self._markets.index(symbol.market) for symbol in symbols])
        self._seed = seed
        self._week = 0
        self._slow = AutoRegression(len(self._markets), timedelta(days=10))
        self._storm = AutoRegression(len(self._markets), timedelta(days=4))
        self._daily = AutoRegression(len(symbols), timedelta(days=1))
        self._hourly = AutoRegression(len(symbols), timedelta(hours=3))
        self._level = AutoRegression(len(symbols), timedelta(days=365), unit_variance=False)

    @property
    def next_start(self) -> datetime:
        """The Monday at which the next week starts."""
        return EPOCH + self._week * WEEK

    def next_week(self) -> Week:
        """Return the next week and move on."""
        start = self.next_start
        is_open = np.stack([open_steps(symbol.draft.calendar, start) for symbol in self._symbols])
        shared = np.stack([self._normals(market.name, 3) for market in self._markets])
        own = np.stack([self._normals(symbol.name, 4) for symbol in self._symbols])
        mixing = np.stack([self._mixing(symbol.name) for symbol in self._symbols])
        volatility = self._volatility(start, shared, own, is_open) * mixing
        week = self._prices(start, volatility, self._innovations(shared[:, 0], own[:, 0]), own[:, 3], is_open)
        self._week += 1
        return week

    def _volatility(self, start: datetime, shared: Floats, own: Floats, is_open: npt.NDArray[np.bool_]) -> Floats:
        """Return each step's standard deviation before the Student-t mixing."""
        storm = STORM_FACTOR * (self._storm.continue_with(shared[:, 2]) > STORM_THRESHOLD)
        market = COMPONENT_SCALE * self._slow.continue_with(shared[:, 1]) + storm
        symbol = self._daily.continue_with(own[:, 1]) + self._hourly.continue_with(own[:, 2])
        seasons = np.stack([one.season(start) for one in self._markets])[self._market_of]
        factor = np.exp(MEAN_LOG_VOLATILITY + market[self._market_of] + COMPONENT_SCALE * symbol)
        per_step = np.array([s.volatility / np.sqrt(s.market.steps_per_year) for s in self._symbols])
        volatility: Floats = per_step[:, None] * factor * np.where(is_open, seasons, CLOSED_FACTOR)
        return volatility

    def _innovations(self, market: Floats, own: Floats) -> Floats:
        """Return standard normal shocks, in part the market's; a negative share moves against it."""
        share = np.array([symbol.share for symbol in self._symbols])[:, None]
        common = np.sign(share) * np.sqrt(np.abs(share)) * market[self._market_of]
        shocks: Floats = common + np.sqrt(1 - np.abs(share)) * own
        return shocks

    def _prices(
        self,
        start: datetime,
        volatility: Floats,
        shocks: Floats,
        volume_noise: Floats,
        is_open: npt.NDArray[np.bool_],
    ) -> Week:
        before = self._level.last[:, None].copy()
        level = np.concatenate([before, self._level.continue_with(volatility * shocks)], axis=1)
        up, down = self._excursions(level, volatility)
        anchor = np.array([symbol.price for symbol in self._symbols])[:, None]
        return Week(
            start=start,
            path=anchor * np.exp(level),
            high=anchor * np.exp(level[:, :-1] + up),
            low=anchor * np.exp(level[:, :-1] + down),
            volume=self._volume(volatility, volume_noise),
            is_open=is_open,
        )

    def _excursions(self, level: Floats, volatility: Floats) -> tuple[Floats, Floats]:
        """Return how far each step rises above and falls below its opening log price."""
        moved = np.diff(level, axis=1)
        shape = (2, STEPS_PER_WEEK)
        draws = np.stack([self._draws(symbol.name, "range").standard_exponential(shape) for symbol in self._symbols])
        reach = np.sqrt(moved[:, None] ** 2 + 2 * volatility[:, None] ** 2 * draws)
        return (moved + reach[:, 0]) / 2, (moved - reach[:, 1]) / 2

    def _volume(self, volatility: Floats, noise: Floats) -> Floats:
        """Return volumes that rise with volatility, as real ones do."""
        usual = np.array([s.volatility / np.sqrt(s.market.steps_per_year) for s in self._symbols])[:, None]
        per_step = np.array([symbol.volume for symbol in self._symbols])[:, None] / 12
        volume: Floats = per_step * (volatility / usual) ** 0.8 * np.exp(0.3 * noise)
        return volume

    def _mixing(self, name: str) -> Floats:
        """Return the factors that turn normal shocks into Student-t ones of unit variance."""
        squares = self._draws(name, "tail").chisquare(TAIL, STEPS_PER_WEEK)
        factors: Floats = np.sqrt((TAIL - 2) / squares)
        return factors

    def _normals(self, name: str, rows: int) -> Floats:
        return self._draws(name, "normal").standard_normal((rows, STEPS_PER_WEEK))

    def _draws(self, name: str, purpose: str) -> np.random.Generator:
        return np.random.default_rng([self._seed, zlib.crc32(f"{name} {purpose}".encode()), self._week])


def open_steps(calendar: str, week_start: datetime) -> npt.NDArray[np.bool_]:
    """Tell for each 5-minute step of the week whether the calendar has the market open."""
    openings = calendar_named(calendar).expected(STEP, week_start, week_start + WEEK)
    steps = np.zeros(STEPS_PER_WEEK, dtype=np.bool_)
    steps[(openings - to_numpy(week_start)) // width(STEP.delta)] = True
    return steps
