"""A forecast in prices: every level under its own name, every price a number that JSON can hold."""

from datetime import UTC, datetime

import numpy as np
import pytest

from deployments.forecasting.issued import level_name, points_of
from deployments.forecasting.quantiles import QUANTILES

TIME = datetime(2024, 4, 1, tzinfo=UTC)


@pytest.mark.parametrize(("level", "name"), [(80.0, "80"), (97.5, "97.5"), (99.9999999, "99.9999999"), (80, "80")])
def test_level_is_named_as_people_write_it(level: float, name: str) -> None:
    assert level_name(level) == name


def test_levels_a_hair_apart_keep_their_own_bounds() -> None:
    levels = (80.0, 80.0000001)
    [point] = points_of(np.linspace(3.0, 5.0, len(QUANTILES))[None], (TIME,), levels)
    assert list(point.lower) == list(point.upper) == ["80", "80.0000001"]


def test_price_beyond_all_numbers_is_the_largest_told() -> None:
    wild = np.linspace(-2_000.0, 2_000.0, len(QUANTILES))[None]
    [point] = points_of(wild, (TIME,), (90.0, 99.9))
    told = [point.lower["99.9"], point.lower["90"], point.median, point.upper["90"], point.upper["99.9"]]
    assert np.isfinite(told).all()
    assert told == sorted(told)
    assert told[0] > 0
