"""Training runs: start, follow, stop."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from deployments.forecasting.models import TrainingRun, TrainingState
from deployments.gateway.bodies import TrainingBody
from deployments.gateway.models import Scope
from deployments.gateway.parameters import IdPath
from deployments.gateway.parts import PartsGiven, ServicesGiven, stream_of
from deployments.gateway.routes.routing import BASE, router
from deployments.gateway.services import ForecasterApi
from deployments.gateway.wire.answers import TrainingRunsAnswer, json_answer
from deployments.gateway.wire.sse import ServerEvent

read = router("training", Scope.READ)
operate = router("training", Scope.OPERATE)

DEFAULTS = TrainingBody()
OVER = frozenset({TrainingState.SUCCEEDED, TrainingState.FAILED, TrainingState.STOPPED})


@operate.post("/training", status_code=202, response_model=TrainingRun)
async def start_training(services: ServicesGiven, body: TrainingBody = DEFAULTS) -> Response:
    """Start a training job; the same request while one runs answers the running one."""
    run = await services.forecaster.start_training(body.request())
    return json_answer(run, 202, {"Location": f"{BASE}/training/{run.id}"})


@read.get("/training", response_model=TrainingRunsAnswer)
async def training_runs(services: ServicesGiven) -> Response:
    """Return training runs, newest first."""
    return json_answer({"runs": await services.forecaster.training_runs()})


@read.get("/training/{id}", response_model=TrainingRun)
async def training_run(id: IdPath, services: ServicesGiven) -> Response:
    """Return where a run stands, and what came of it."""
    return json_answer(await services.forecaster.training_run(id))


@read.get("/training/{id}/logs", response_class=StreamingResponse)
async def training_log(request: Request, id: IdPath, parts: PartsGiven) -> Response:
    """Stream a run's log as `log` events and, when it is over, one `done` event with the run."""
    forecaster = parts.services.forecaster
    await forecaster.training_run(id)  # an unknown run is a problem document, not a stream
    return stream_of(request, follow(forecaster, id, parts.settings.training_log_poll_s))


@operate.delete("/training/{id}", response_model=TrainingRun)
async def stop_training(id: IdPath, services: ServicesGiven) -> Response:
    """Stop a run; one that is over is answered as it is."""
    return json_answer(await services.forecaster.stop_training(id))


async def follow(forecaster: ForecasterApi, run_id: str, poll_s: float) -> AsyncIterator[ServerEvent]:
    """Yield a run's log from its beginning as it grows, then the run itself.

    The run is read before its log, so that what was written last is not missed.
    """
    offset = 0
    while True:
        run = await forecaster.training_run(run_id)
        text, offset = await forecaster.training_log(run_id, offset)
        if text:
            yield ServerEvent("log", {"text": text, "offset": offset}, str(offset))
        elif run.state in OVER:
            yield ServerEvent("done", run)
            return
        else:
            await asyncio.sleep(poll_s)
