"""An app over fakes, and clients with each kind of key."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from deployments.gateway.access.keys import KeyRing
from deployments.gateway.app import create_app
from deployments.gateway.models import Scope
from deployments.gateway.settings import GatewaySettings
from tests.fakes.asgi import Aged
from tests.fakes.gateway import NOW, Fakes

ORIGIN = "http://candlecast.test"


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    dashboard = tmp_path / "dist"
    (dashboard / "assets").mkdir(parents=True)
    (dashboard / "index.html").write_text("<!doctype html><title>Candlecast</title>", encoding="utf-8")
    (dashboard / "assets" / "app-1a2b.js").write_text("export const big = 1;\n" * 200, encoding="utf-8")
    settings = GatewaySettings(tmp_path / "home", dashboard, version="1.2.3")
    return replace(settings, event_poll_s=0.01, training_log_poll_s=0.01, health_keep_s=0.0, query_log_flush_s=0.0)


@pytest.fixture
def keys(settings: GatewaySettings) -> dict[str, str]:
    """One key of each scope, by the scope's name."""
    ring = KeyRing(settings.home / "auth")
    return {scope.value: ring.create(scope.value, (scope,)) for scope in Scope}


@pytest.fixture
def app(fakes: Fakes, settings: GatewaySettings) -> FastAPI:
    return create_app(fakes.services, settings, clock=lambda: NOW)


@pytest.fixture
async def anyone(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
        yield client


@pytest.fixture
async def reader(app: FastAPI, keys: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a key that may read."""
    async with _client(app, keys["read"]) as client:
        yield client


@pytest.fixture
async def admin(app: FastAPI, keys: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a key that may do everything."""
    async with _client(app, keys["admin"]) as client:
        yield client


@pytest.fixture
async def aged(fakes: Fakes, settings: GatewaySettings, keys: dict[str, str]) -> AsyncIterator[Aged]:
    app = create_app(fakes.services, settings, clock=lambda: NOW, monotonic=lambda: made.seconds)
    async with _client(app, keys["admin"]) as client:
        made = Aged(client)
        yield made


def _client(app: FastAPI, key: str) -> httpx.AsyncClient:
    headers = {"X-API-Key": key}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN, headers=headers)
