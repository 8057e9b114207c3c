"""Windows cut from a panel: what a forecast reads, and what then followed."""

from dataclasses import dataclass

import numpy as np

from deployments.forecasting.panel import Panel, Positions
from deployments.forecasting.quantiles import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """`history` (n, bars read) and `future` (n, horizon), both log closes; the last column of history is the origin."""

    history: FloatArray
    future: FloatArray

    def __len__(self) -> int:
        return len(self.history)

    @property
    def moves(self) -> FloatArray:
        """Log moves from the origin to each step ahead, (n, horizon)."""
        return self.future - self.history[:, -1:]


def windows_at(panel: Panel, origins: Positions, history_bars: int, horizon: int) -> Windows:
    """Cut the windows around `origins` in one gather."""
    steps = np.arange(1 - history_bars, horizon + 1)
    cut = panel.log_closes[origins[:, None] + steps]
    return Windows(cut[:, :history_bars], cut[:, history_bars:])


def drawn(origins: Positions, count: int, generator: np.random.Generator) -> Positions:
    """Draw `count` origins with replacement, each as likely as the other, so symbols count by their bars."""
    return origins[generator.integers(0, len(origins), count)]


def spread(origins: Positions, most: int) -> Positions:
    """Return at most `most` origins, evenly spread over all of them, so that every symbol and month has its part."""
    if len(origins) <= most:
        return origins
    return origins[np.linspace(0, len(origins) - 1, most).astype(np.int64)]
