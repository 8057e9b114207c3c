"""Every error that may leave a context.

    CandlecastError
    ├── InvalidRequest                      422, with the fields
    ├── Unauthenticated                     401
    ├── Forbidden                           403
    ├── NotFound                            404
    │   ├── UnknownRoute · UnknownSymbol · NoCandles
    │   └── UnknownModel · UnknownTraining · UnknownAnalysis
    ├── MethodNotAllowed                    405
    ├── Conflict                            409
    │   ├── SymbolExists · DatabaseReadOnly · CandlesRefused
    │   ├── TooLittleHistory · NothingTrained
    │   └── PromotionRefused · DamagedModel · SyncBusy
    ├── PreconditionFailed                  412
    ├── BodyTooLarge                        413
    ├── RateLimited                         429 + Retry-After
    ├── InternalError                       500
    ├── BadUpstream                         502
    │   └── PromptCut
    ├── Unavailable                         503 + Retry-After
    │   └── DatabaseUnavailable · LlmUnavailable
    └── UpstreamTimeout                     504

Errors travel between processes by pickle, which calls the constructor with `args` again: constructors take
positional arguments only and hand all of them to `super().__init__`.
"""

from typing import ClassVar


class CandlecastError(Exception):
    """Say what went wrong in a way that every edge can present.

    `slug` names the heading in `docs/problems.md`, `status` is the HTTP status, `title` is fixed per class,
    `detail` describes this case.
    """

    slug: ClassVar[str] = "internal-error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str = "", *args: object) -> None:
        super().__init__(detail, *args)
        self.detail = detail

    def __str__(self) -> str:
        return self.detail or self.title


class InvalidRequest(CandlecastError):
    """Refuse a malformed request, naming each field as `(field, what is wrong)`."""

    slug = "invalid-request"
    status = 422
    title = "Invalid request"

    def __init__(self, detail: str = "", fields: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail, fields)
        self.fields = fields


class Unauthenticated(CandlecastError):
    slug = "unauthenticated"
    status = 401
    title = "Key missing or unknown"


class Forbidden(CandlecastError):
    slug = "forbidden"
    status = 403
    title = "Scope missing"


class NotFound(CandlecastError):
    slug = "not-found"
    status = 404
    title = "Not found"


class UnknownRoute(NotFound):
    slug = "unknown-route"
    title = "Unknown route"


class UnknownSymbol(NotFound):
    slug = "unknown-symbol"
    title = "Unknown symbol"


class NoCandles(NotFound):
    slug = "no-candles"
    title = "No candles"


class UnknownModel(NotFound):
    slug = "unknown-model"
    title = "Unknown model version"


class UnknownTraining(NotFound):
    slug = "unknown-training"
    title = "Unknown training run"


class UnknownAnalysis(NotFound):
    slug = "unknown-analysis"
    title = "Unknown analysis"


class MethodNotAllowed(CandlecastError):
    slug = "method-not-allowed"
    status = 405
    title = "Method not allowed"


class Conflict(CandlecastError):
    slug = "conflict"
    status = 409
    title = "Conflict"


class DatabaseReadOnly(Conflict):
    slug = "database-read-only"
    title = "Database is read-only"


class CandlesRefused(Conflict):
    """Say that a candle table of the desk's does not take the rows sent."""

    slug = "candles-refused"
    title = "Candles refused by their table"


class SymbolExists(Conflict):
    slug = "symbol-exists"
    title = "Symbol exists"


class TooLittleHistory(Conflict):
    """Say that a forecast needs more history: `have` and `need` count bars."""

    slug = "too-little-history"
    title = "Too little history"

    def __init__(self, detail: str = "", have: int = 0, need: int = 0) -> None:
        super().__init__(detail, have, need)
        self.have = have
        self.need = need


class NothingTrained(Conflict):
    slug = "nothing-trained"
    title = "Nothing trained yet"


class PromotionRefused(Conflict):
    slug = "promotion-refused"
    title = "Promotion refused by the gate"


class DamagedModel(Conflict):
    """Say that a model version's files are not what was published."""

    slug = "damaged-model"
    title = "Model version damaged"


class SyncBusy(Conflict):
    slug = "sync-busy"
    title = "Sync already running"


class PreconditionFailed(CandlecastError):
    slug = "precondition-failed"
    status = 412
    title = "Changed meanwhile"


class BodyTooLarge(CandlecastError):
    slug = "body-too-large"
    status = 413
    title = "Body too large"


class Retryable(CandlecastError):
    """Carry the number of seconds after which another try makes sense."""

    def __init__(self, detail: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(detail, retry_after_s)
        self.retry_after_s = retry_after_s


class RateLimited(Retryable):
    slug = "rate-limited"
    status = 429
    title = "Too many requests"


class InternalError(CandlecastError):
    """Stand for a bug of ours; the details are in the log under the request id."""


class BadUpstream(CandlecastError):
    slug = "bad-upstream"
    status = 502
    title = "Upstream sent nonsense"


class PromptCut(BadUpstream):
    slug = "prompt-cut"
    title = "The LLM read only part of the prompt"


class Unavailable(Retryable):
    slug = "unavailable"
    status = 503
    title = "Not available now"


class DatabaseUnavailable(Unavailable):
    slug = "database-unavailable"
    title = "Database not available"


class LlmUnavailable(Unavailable):
    slug = "llm-unavailable"
    title = "LLM not available"


class UpstreamTimeout(CandlecastError):
    slug = "upstream-timeout"
    status = 504
    title = "Upstream too slow"


_REPLICA_GONE = {
    "ActorDiedError",
    "ActorUnavailableError",
    "BackPressureError",
    "DeploymentUnavailableError",
    "RayActorError",
    "RequestCancelledError",
}


def meaning_of(error: BaseException, what: str) -> CandlecastError | None:
    """Return the error of ours that an exception from a handle call stands for, or None where it is a bug.

    Ray wraps what a replica raised and keeps it in `cause`, its text carries a traceback; a full or dead replica
    is an error of Ray's own, told here by its name because only shells may import Ray.
    """
    cause = getattr(error, "cause", None)
    for candidate in (cause, error):
        if isinstance(candidate, CandlecastError):
            return candidate
    if _REPLICA_GONE & {kind.__name__ for kind in type(error).__mro__}:
        return Unavailable(f"{what} has no free replica just now", 1.0)
    return None
