"""The whole gateway behind a blocking client, without a socket."""

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx

from deployments.gateway.access.keys import KeyRing
from deployments.gateway.app import create_app
from deployments.gateway.models import Scope
from deployments.gateway.settings import GatewaySettings
from tests.fakes.gateway import NOW, FakeForecaster, Fakes


class InProcess(httpx.BaseTransport):
    """Hand each request of a blocking client to an app in this process."""

    def __init__(self, forecaster: FakeForecaster, folder: Path) -> None:
        services = replace(Fakes().services, forecaster=forecaster)
        self._app = create_app(services, GatewaySettings(folder, folder, version="1.2.3"), clock=lambda: NOW)
        self.key = KeyRing(folder / "auth").create("admin", (Scope.ADMIN,))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        headers = dict(request.headers) | {"accept-encoding": "identity"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app)) as client:
            told = await client.request(request.method, request.url, headers=headers, content=request.read())
        return httpx.Response(told.status_code, headers=told.headers, content=told.content, request=request)
