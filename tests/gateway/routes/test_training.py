"""Trainings over HTTP."""

import httpx

from tests.fakes.gateway import Fakes


async def test_training_on_a_symbol_that_nobody_knows_is_refused_naming_it(
    admin: httpx.AsyncClient, fakes: Fakes
) -> None:
    answer = await admin.post("/api/v1/training", json={"symbols": ["BTCUSD", "NOPE"]})

    assert answer.status_code == 404
    assert answer.json()["type"].endswith("unknown-symbol")
    assert "NOPE" in answer.json()["detail"]
    assert fakes.forecaster.started == []
