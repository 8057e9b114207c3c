"""One training run from candles to a promoted model, every step of it entered into the ledger."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from deployments.common.clock import Clock, utc_now
from deployments.common.errors import CandlecastError, DamagedModel, UnknownModel
from deployments.common.telemetry import logger
from deployments.forecasting.judging.evaluation import metrics_of
from deployments.forecasting.judging.gate import judge, limited
from deployments.forecasting.models import (
    Decision,
    ModelCard,
    ModelStatus,
    TrainingRequest,
    TrainingRun,
    TrainingState,
)
from deployments.forecasting.predicting.network import NetworkConfig
from deployments.forecasting.predicting.predictor import Predictor
from deployments.forecasting.quantiles import QUANTILES
from deployments.forecasting.registry.registry import Registry
from deployments.forecasting.series.panel import Panel
from deployments.forecasting.training.code_version import code_version
from deployments.forecasting.training.data import TrainingData
from deployments.forecasting.training.fitting import Contest, Fitted, contest, finished, material_of
from deployments.forecasting.training.ledger import TrainingLedger
from deployments.forecasting.training.lesson import Material
from deployments.forecasting.training.loop import TrainingConfig
from deployments.forecasting.training.state import Trained

log = logger(__name__)

ReadCandles = Callable[[], TrainingData]
Promote = Callable[[str], Decision]


class Train(Protocol):
    """Whoever trains: this process, or workers somewhere."""

    def __call__(self, material: Material, shape: NetworkConfig, config: TrainingConfig) -> Trained: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """Enter what the training loop reports into the ledger and say it in one line through `say`."""

    ledger: TrainingLedger
    run_id: str
    max_steps: int
    started: float
    say: Callable[[str], None]
    first_step: int = 0

    def __call__(self, step: int, train_loss: float, validation_loss: float) -> None:
        # A resumed run took its first steps before `started`.
        eta_s = (time.monotonic() - self.started) / max(step - self.first_step, 1) * (self.max_steps - step)
        self.ledger.update(
            self.run_id, step=step, train_loss=train_loss, validation_loss=validation_loss, eta_s=round(eta_s, 1)
        )
        self.say(
            f"step {step}/{self.max_steps} train {train_loss:.5f} validation {validation_loss:.5f} "
            f"at most {eta_s:.0f} s to go"
        )


class TrainingJob:
    """Carry out one request. `promote` asks the forecaster, the only one that may; None publishes without asking."""

    def __init__(
        self,
        run_id: str,
        request: TrainingRequest,
        models: Path,
        say: Callable[[str], None],
        clock: Clock = utc_now,
        registry: Path | str = "",
    ) -> None:
        """The ledger lies in `models`, and so does the registry unless `registry` names another folder or a URI."""
        self._run_id, self._request, self._say, self._clock = run_id, request, say, clock
        self._ledger = TrainingLedger(models)
        self._registry = Registry(registry or models)
        self._shape = shape_of(request)
        self._config = TrainingConfig(max_steps=request.max_steps, seed=request.seed)

    def run(self, read: ReadCandles, train: Train, promote: Promote | None) -> TrainingRun:
        """Carry the run to its end and return its record; an error is entered there and raised again."""
        self._ledger.start(self._run_id, self._request, self._request.max_steps)
        try:
            return self._carried_out(read, train, promote)
        except Exception as error:
            meaning = str(error) if isinstance(error, CandlecastError) else f"{type(error).__name__}: {error}"
            self._end(TrainingState.FAILED, error=meaning.splitlines()[0] if meaning else type(error).__name__)
            raise

    def stopped(self) -> TrainingRun:
        """Enter that somebody ended the run."""
        return self._end(TrainingState.STOPPED)

    def _carried_out(self, read: ReadCandles, train: Train, promote: Promote | None) -> TrainingRun:
        self._phase("reading candles")
        data = read()
        panel = data.panel(self._request.interval)
        self._phase("preparing", detail=f"{panel.bars:,} bars of {len(panel.symbols)} symbols")
        material = material_of(panel, self._shape)
        self._phase("training")
        trained = train(material, self._shape, self._config)
        self._phase("judging", detail=f"best step {trained.best_step}, validation {trained.validation_loss:.5f}")
        card = self._published(finished(material, trained, self._shape, self._config), panel)
        return self._promoted(card, promote)

    def _published(self, fitted: Fitted, panel: Panel) -> ModelCard:
        # Read once: the card has to name the very version that was met, whatever is promoted meanwhile.
        against = self._registry.champion(self._request.interval, self._request.horizon) or ""
        outcome = contest(panel, fitted.predictor(), self._shape, self._champion(against))
        card = self._registry.publish(fitted.tensors, self._card(fitted, panel, outcome, against))
        decision = card.decision
        self._phase("publishing", detail=f"version {card.version}: {decision.verdict if decision else ''}")
        return card

    def _promoted(self, card: ModelCard, promote: Promote | None) -> TrainingRun:
        decision, error = card.decision, ""
        if promote and decision and decision.verdict == "promote":
            try:
                decision = promote(card.version)
            except CandlecastError as refused:
                error = f"published, but not promoted: {refused}"
        return self._end(TrainingState.SUCCEEDED, version=card.version, decision=decision, error=error)

    def _card(self, fitted: Fitted, panel: Panel, outcome: Contest, against: str) -> ModelCard:
        now = self._clock()
        age = self._age(against, now)
        verdict = judge(outcome.candidate, outcome.baseline, outcome.champion, outcome.others, age)
        verdict = limited(verdict, self._unmet(against, panel))
        return ModelCard(
            version="",
            interval=panel.interval,
            horizon=self._shape.horizon,
            input_size=self._shape.input_size,
            status=ModelStatus.CANDIDATE,
            trained_at=now,
            data_start=panel.data_start,
            data_end=panel.data_end,
            symbols=panel.symbols,
            metrics=metrics_of(outcome.candidate, outcome.baseline, outcome.champion, outcome.others),
            config=fitted.config,
            decision=Decision(
                "", verdict.verdict, verdict.reason, now, None, verdict.evidence, against, verdict.lost_symbols
            ),
            sha256="",
            data_sha256=panel.fingerprint,
            seed=self._config.seed,
            code_version=code_version(),
        )

    def _champion(self, version: str) -> Predictor | None:
        if not version:
            return None
        try:
            tensors, card = self._registry.load(version)
            return Predictor(tensors, card.config)
        except (DamagedModel, UnknownModel) as error:
            log.warning("champion left out of the contest", version=version, reason=error.detail)
            return None

    def _age(self, version: str, now: datetime) -> timedelta | None:
        try:
            return now - self._registry.card(version).trained_at if version else None
        except (DamagedModel, UnknownModel):
            return None

    def _unmet(self, version: str, panel: Panel) -> tuple[str, ...]:
        """Return the symbols of the champion that this run was told to leave out."""
        if not version or not self._request.symbols:
            return ()
        try:
            return tuple(sorted(set(self._registry.card(version).symbols).difference(panel.symbols)))
        except (DamagedModel, UnknownModel):
            return ()

    def _phase(self, phase: str, detail: str = "") -> None:
        self._ledger.update(self._run_id, state=TrainingState.RUNNING, phase=phase)
        self._say(f"{phase}: {detail}" if detail else phase)

    def _end(self, state: TrainingState, **changes: Any) -> TrainingRun:
        run = self._ledger.update(self._run_id, state=state, phase=state.value, eta_s=None, **changes)
        verdict = f", {run.decision.verdict}: {run.decision.reason}" if run.decision else ""
        self._say(f"{state.value} {run.version or ''}{verdict} {run.error}".strip())
        return run


def shape_of(request: TrainingRequest) -> NetworkConfig:
    """Return the network that a request asks for."""
    quantiles = tuple(sorted(request.quantiles)) or QUANTILES
    return NetworkConfig(input_size=request.input_size, horizon=request.horizon, quantiles=quantiles)
