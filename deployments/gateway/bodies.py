"""What clients send: request bodies, checked field by field before they become our own types."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from deployments.analysis.models import AnalysisRequest, Language
from deployments.forecasting.models import TrainingRequest
from deployments.gateway.models import Scope
from deployments.gateway.parameters import SYMBOL, Instant
from deployments.market_data.models import Category, Interval, SymbolDraft, SymbolStatus

Symbol = Annotated[str, StringConstraints(pattern=SYMBOL)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{0,10}$")]
ShortText = Annotated[str, StringConstraints(max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")]
Alias = Annotated[str, StringConstraints(min_length=2, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/ -]*$")]


def _exact(value: object) -> object:
    """Refuse a JSON number that has lost digits: it was read as a double, which holds fifteen of them."""
    if isinstance(value, float) and len(Decimal(repr(value)).normalize().as_tuple().digits) > _DOUBLE_DIGITS:
        raise ValueError("has too many digits for a JSON number; send it as a string")
    return value


_DOUBLE_DIGITS = 15
Step = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(gt=0, le=Decimal("1e12"), max_digits=24, decimal_places=12, allow_inf_nan=False),
]


class Body(BaseModel):
    """A request body: unknown fields are refused, for they are mostly known ones misspelt."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SymbolBody(Body):
    """A managed symbol as a user describes it."""

    symbol: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9._-]{1,19}$")]
    category: Category = Category.CRYPTO
    status: SymbolStatus = SymbolStatus.ACTIVE
    exchange: ShortText = ""
    interval: Interval = Interval.H1
    enabled: bool = True
    base_currency: Currency = ""
    quote_currency: Currency = ""
    lot_size: Step = Decimal(1)
    price_increment: Step = Decimal("0.01")
    size_increment: Step = Decimal("0.0001")
    calendar: ShortText = "24/7"
    aliases: Annotated[tuple[Alias, ...], Field(max_length=20)] = ()

    def draft(self) -> SymbolDraft:
        """Return the description in market data's own type."""
        return SymbolDraft(**{name: getattr(self, name) for name in type(self).model_fields})


class TrainingBody(Body):
    """What to train; without symbols, every enabled one."""

    symbols: Annotated[tuple[Symbol, ...], Field(max_length=500)] = ()
    interval: Interval = Interval.H1
    horizon: Annotated[int, Field(ge=1, le=168)] = 24
    input_size: Annotated[int, Field(ge=24, le=512)] = 48
    max_steps: Annotated[int, Field(ge=1, le=100_000)] = 1_200
    lookback_days: Annotated[int | None, Field(ge=1, le=36_500)] = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1
    quantiles: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(max_length=19)] = ()

    def request(self) -> TrainingRequest:
        """Return the request in forecasting's own type."""
        return TrainingRequest(**{name: getattr(self, name) for name in type(self).model_fields})


class AnalysisBody(Body):
    """What to analyse, the question to answer, and in which language."""

    symbol: Symbol
    interval: Interval = Interval.H1
    horizon: Annotated[int, Field(ge=1, le=168)] = 24
    question: Annotated[str, Field(max_length=2_000)] = ""
    language: Language = Language.EN
    model: Annotated[str | None, Field(max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")] = None
    as_of: Instant | None = None

    def request(self) -> AnalysisRequest:
        """Return the request in analysis' own type."""
        return AnalysisRequest(**{name: getattr(self, name) for name in type(self).model_fields})


class PromoteBody(Body):
    """`force` promotes also what the gate refused."""

    force: bool = False


class RollbackBody(Body):
    """`from` is the champion to go back from; without it the latest change of any champion is undone."""

    champion: Annotated[str | None, Field(alias="from", max_length=64, pattern=r"^[A-Za-z0-9-]+$")] = None


class LoginLinkBody(Body):
    """What a session opened by the link may do, and how long the link works."""

    scope: Scope = Scope.OPERATE
    ttl_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] = 600.0
