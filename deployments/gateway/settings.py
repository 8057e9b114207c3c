"""How the gateway behaves: limits, rates and deadlines."""

from dataclasses import dataclass
from pathlib import Path

MAX_BATCH = 50
"""Symbols a batch may name."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """`home` holds keys and sessions, `dashboard_dir` the built dashboard; durations in seconds.

    `rate_per_s` and `burst` bound each key on each replica. `server_adds_request_id` says that the server in front
    sends `X-Request-ID` by itself, as Serve's proxy does, so that answers do not carry it twice.
    """

    home: Path
    dashboard_dir: Path
    version: str = "unknown"
    max_body_bytes: int = 1_000_000
    rate_per_s: float = 200.0
    burst: int = 600
    streams_per_key: int = 10
    candle_answers_bytes: int = 64_000_000
    forecast_answers_bytes: int = 16_000_000
    session_s: float = 7 * 86_400.0
    login_link_s: float = 600.0
    health_deadline_s: float = 2.0
    health_keep_s: float = 1.0
    event_poll_s: float = 2.0
    event_keep_s: float = 300.0
    heartbeat_s: float = 15.0
    training_log_poll_s: float = 1.0
    analysis_timeout_s: float = 180.0
    query_log_flush_s: float = 1.0
    server_adds_request_id: bool = False
