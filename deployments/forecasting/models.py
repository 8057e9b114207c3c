"""Value types of forecasting. Prices are in quote currency; levels are percentages."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from deployments.market_data.models import Interval


class ForecastStatus(StrEnum):
    """How far a forecast can be trusted at a glance, worst first wins."""

    FRESH = "fresh"
    STALE_DATA = "stale_data"
    OLD_MODEL = "old_model"
    FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    symbol: str
    interval: Interval = Interval.H1
    horizon: int = 24
    levels: tuple[float, ...] = (80.0, 90.0)
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """The newest `limit` forecasts of a symbol issued since an instant, of one interval and horizon where named."""

    symbol: str
    limit: int = 20
    since: datetime | None = None
    interval: Interval | None = None
    horizon: int | None = None


@dataclass(frozen=True, slots=True)
class ForecastPoint:
    """One step ahead; bounds by level, keyed as the level is written (`"80"`, `"97.5"`)."""

    time: datetime
    median: float
    lower: dict[str, float]
    upper: dict[str, float]


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model answered: `nhits` with its version, or the name of a baseline."""

    name: str
    version: str | None
    trained_at: datetime | None


@dataclass(frozen=True, slots=True)
class Skill:
    """How the model has done: pinball loss relative to the EWMA baseline (below 1 is better), MASE, coverage by level.

    `n` counts the forecasts behind it; `basis` says whether they were live or from the model's own test span.
    """

    pinball_vs_baseline: float | None
    mase: float | None
    coverage: dict[str, float]
    n: int
    basis: str


class FallbackCause(StrEnum):
    """Why the baseline answers: what programs go by, while the words beside it may change."""

    NO_MODEL = "no_model"
    MODEL_FAILED = "model_failed"
    TOO_LITTLE_HISTORY = "too_little_history"
    BARS_MISSING = "bars_missing"
    LOST_ON_TEST = "lost_on_test"
    LOST_LIVE = "lost_live"


@dataclass(frozen=True, slots=True)
class Fallback:
    """Why the baseline answered instead of a model: the cause, and this case in words."""

    cause: FallbackCause
    reason: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is said of a symbol's coming bars. `fallback` is None where a model answered."""

    symbol: str
    interval: Interval
    horizon: int
    issued_at: datetime
    data_as_of: datetime
    expires_at: datetime
    status: ForecastStatus
    model: ModelRef
    levels: tuple[float, ...]
    points: tuple[ForecastPoint, ...]
    skill: Skill | None
    warnings: tuple[str, ...] = ()
    fallback: Fallback | None = None


class ModelStatus(StrEnum):
    CHAMPION = "champion"
    CANDIDATE = "candidate"
    RETIRED = "retired"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the judge said of a version, when, and on which evidence.

    `against` is the champion that it was judged beside: empty where there was none, None where nobody knows. Of
    `lost_symbols` the baseline was significantly better on the test span: there it serves instead of the version.
    """

    version: str
    verdict: str
    reason: str
    decided_at: datetime
    replaced: str | None = None
    evidence: dict[str, float] = field(default_factory=dict)
    against: str | None = None
    lost_symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A version in the registry: its data, its configuration, its scores, its fate.

    `sha256` is that of the weights, `data_sha256` that of the candles; with `seed` and `code_version` they say how to
    make it again.
    """

    version: str
    interval: Interval
    horizon: int
    input_size: int
    status: ModelStatus
    trained_at: datetime
    data_start: datetime
    data_end: datetime
    symbols: tuple[str, ...]
    metrics: dict[str, Any]
    config: dict[str, Any]
    decision: Decision | None
    sha256: str
    data_sha256: str = ""
    seed: int = 0
    code_version: str = ""


@dataclass(frozen=True, slots=True)
class ModelList:
    """Versions newest first, the champions by `<interval>-h<horizon>`, and the decisions so far.

    `faults` say of a champion, by the same name, why it does not serve; of a registry that is away under the empty one.
    """

    models: tuple[ModelCard, ...]
    champions: dict[str, str]
    history: tuple[Decision, ...]
    faults: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train; an empty `symbols` means every enabled symbol.

    `quantiles` are those that the network itself learns, empty for the whole grid of nine that is served either way.
    """

    symbols: tuple[str, ...] = ()
    interval: Interval = Interval.H1
    horizon: int = 24
    input_size: int = 48
    max_steps: int = 1_200
    lookback_days: int | None = None
    seed: int = 1
    quantiles: tuple[float, ...] = ()


class TrainingState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One training job: where it stands and what came of it. `phase` is a word for people, `eta_s` a guess.

    `job_id` names the job that goes on with a run after the one that bears the run's own id has ended.
    """

    id: str
    state: TrainingState
    phase: str
    request: TrainingRequest
    created_at: datetime
    updated_at: datetime
    step: int = 0
    max_steps: int = 0
    train_loss: float | None = None
    validation_loss: float | None = None
    eta_s: float | None = None
    version: str | None = None
    decision: Decision | None = None
    error: str = ""
    job_id: str = ""

    @property
    def job(self) -> str:
        """The id of the job that carries the run out."""
        return self.job_id or self.id


@dataclass(frozen=True, slots=True)
class AccuracyRow:
    """Live scores of one model on one symbol, beside the baseline issued with each forecast."""

    symbol: str
    interval: Interval
    horizon: int
    model: str
    version: str | None
    skill: Skill


@dataclass(frozen=True, slots=True)
class PastForecast:
    """An earlier forecast with the closes that followed, None where a bar has not arrived."""

    forecast: Forecast
    realised: tuple[float | None, ...]
    pinball: float | None
    baseline_pinball: float | None


class KeeperState(StrEnum):
    """Whether the books are kept: `waiting` while another process holds the lease, `failing` with an error."""

    KEEPING = "keeping"
    WAITING = "waiting"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class KeeperStatus:
    """What the keeper of the forecaster's books did last.

    `at` is the end of its last round and `epoch` the number of its tenure. Of that round: forecasts `issued`,
    `resolved` and `lost` (a bar never came), forecasts behind each recalibration by model version, `set_back` the
    symbols that each version lost live to the baseline (`*` for all of them), `retraining` the runs asked for with
    their reasons, and versions `deleted`. The next round is due after `interval_s`.
    """

    state: KeeperState
    at: datetime
    epoch: int = 0
    issued: int = 0
    resolved: int = 0
    lost: int = 0
    recalibrated: dict[str, int] = field(default_factory=dict)
    set_back: dict[str, tuple[str, ...]] = field(default_factory=dict)
    retraining: dict[str, str] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()
    error: str = ""
    interval_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ForecasterHealth:
    """Which champions there are, which versions are loaded, why they differ if they do, and how the books stand."""

    champions: dict[str, str]
    loaded: tuple[str, ...]
    reason: str = ""
    keeper: KeeperStatus | None = None
