"""Entity tags of answers in which something moves by itself, so that a reader who has the rest gets a 304."""

import re
from dataclasses import replace

from deployments.gateway.wire.encoding import to_json
from deployments.gateway.wire.representation import tag_of
from deployments.knowledge.models import SyncStatus

LAG_STEP_S = 60.0
"""By how much a lag may have grown unnoticed: it grows every second, and nobody acts on seconds of it."""

# A quote within a JSON text is escaped, so nothing but the fields themselves is met.
_MOVING = re.compile(rb'"(?:issued_at|instance)":"[^"]*"')


def tag_of_content(body: bytes) -> str:
    """Return the tag of JSON without when forecasts were issued and in which request a symbol failed.

    Each replica issues the same forecast itself, and a batch names its request in the problems that it holds.
    """
    return tag_of(_MOVING.sub(b"", body))


def tag_of_sync(status: SyncStatus) -> str:
    """Return the tag of where the sync stands, its lag told to `LAG_STEP_S`."""
    lag = None if status.lag_seconds is None else status.lag_seconds // LAG_STEP_S
    return tag_of(to_json(replace(status, lag_seconds=lag)))
