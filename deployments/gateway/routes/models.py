"""Model versions and which of them is current."""

from starlette.responses import Response

from deployments.forecasting.models import Decision, ModelCard, ModelList
from deployments.gateway.bodies import PromoteBody, RollbackBody
from deployments.gateway.models import Scope
from deployments.gateway.parameters import VersionPath
from deployments.gateway.parts import PartsGiven, ServicesGiven
from deployments.gateway.routes.routing import router
from deployments.gateway.wire.answers import json_answer

read = router("models", Scope.READ)
admin = router("models", Scope.ADMIN)

NO_FORCE = PromoteBody()
FROM_LATEST = RollbackBody()


@read.get("/models", response_model=ModelList)
async def models(services: ServicesGiven) -> Response:
    """Return the versions, the champions, and who replaced whom and why."""
    return json_answer(await services.forecaster.models())


@admin.post("/models/rollback", response_model=Decision)
async def rollback(parts: PartsGiven, body: RollbackBody = FROM_LATEST) -> Response:
    """Make the former champion current again; 412 where `from` names one that another has replaced."""
    decision = await parts.services.forecaster.rollback(body.champion)
    parts.forecasts.doubt()
    return json_answer(decision)


@read.get("/models/{version}", response_model=ModelCard)
async def model(version: VersionPath, services: ServicesGiven) -> Response:
    """Return one version: its data, its configuration, its scores, its fate."""
    return json_answer(await services.forecaster.model(version))


@admin.post("/models/{version}/promote", response_model=Decision)
async def promote(version: VersionPath, parts: PartsGiven, body: PromoteBody = NO_FORCE) -> Response:
    """Make a version champion; 409 where the gate refuses it and `force` is not given."""
    decision = await parts.services.forecaster.promote(version, body.force)
    parts.forecasts.doubt()
    return json_answer(decision)
