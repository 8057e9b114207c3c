"""The state of what market data depends on."""

from typing import Protocol

from deployments.common.errors import CandlecastError
from deployments.market_data.models import DependencyHealth


class Probed(Protocol):
    """What can be asked whether it answers: milliseconds, or an error of ours."""

    async def probe(self) -> float: ...


async def state_of(name: str, dependency: Probed) -> DependencyHealth:
    """Return whether a dependency answers and how fast; never fails."""
    try:
        return DependencyHealth(name, "ok", round(await dependency.probe(), 2))
    except CandlecastError as error:
        return DependencyHealth(name, "down", None, str(error))
