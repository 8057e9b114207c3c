"""Which records of ended training jobs the cluster may forget: it keeps them all until it is told."""

import re
from collections.abc import Collection
from dataclasses import dataclass

KEPT_JOBS = 50
"""Newest ended jobs that are kept. Every request lists all jobs there are, each with its environment and command."""

_OURS = re.compile(r"train-[0-9a-f]{10}-\d+")


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What the cluster remembers of a job; `ended_ms` are milliseconds since 1970, None for one that has not ended."""

    job_id: str
    ended_ms: int | None


def surplus(records: Collection[JobRecord], keep: int = KEPT_JOBS) -> tuple[str, ...]:
    """Return the ids of ended jobs of training runs beyond the newest `keep`, oldest first; other jobs are not ours."""
    ended = [(one.ended_ms, one.job_id) for one in records if one.ended_ms is not None and _OURS.fullmatch(one.job_id)]
    return tuple(job_id for _, job_id in sorted(ended)[: max(0, len(ended) - keep)])
