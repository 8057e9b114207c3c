"""Values of command lines, each refused with what it may be."""

import argparse
import math

from deployments.market_data.models import Interval

MOST_WORKERS = 1_024
MOST_DAYS = 36_500


def interval(text: str) -> Interval:
    """Return the length of a bar."""
    try:
        return Interval(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(Interval)}, not {text!r}") from None


def numbers(text: str) -> tuple[float, ...]:
    """Return comma separated numbers."""
    try:
        return tuple(float(number) for number in text.split(",") if number.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers with commas between them, not {text!r}") from None


def worker_count(text: str) -> int:
    """Return a number of workers."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {MOST_WORKERS:,}, not {text!r}")
    return int(text)


def day_count(text: str) -> float:
    """Return a length in days."""
    try:
        length = float(text)
    except ValueError:
        length = math.nan
    if not 0 < length <= MOST_DAYS:
        raise argparse.ArgumentTypeError(f"must be a number of days above 0 and up to {MOST_DAYS:,}, not {text!r}")
    return length


def share(text: str) -> float:
    """Return a part of one whole."""
    try:
        part = float(text)
    except ValueError:
        part = math.nan
    if not 0 <= part <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not {text!r}")
    return part
