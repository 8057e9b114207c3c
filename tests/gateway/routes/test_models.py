"""Which champion a rollback over HTTP goes back from."""

import httpx
import pytest


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (None, 409, "nothing-trained"),
        ({}, 409, "nothing-trained"),
        ({"from": "20240301T120000Z-abcdef"}, 412, "precondition-failed"),
        ({"from": "../champion"}, 422, "invalid-request"),
        ({"form": "v1"}, 422, "invalid-request"),
    ],
)
async def test_rollback_goes_back_from_the_version_named_or_from_the_latest(
    admin: httpx.AsyncClient, body: dict[str, str] | None, status: int, slug: str
) -> None:
    answer = await admin.post("/api/v1/models/rollback", json=body)

    assert answer.status_code == status
    assert answer.json()["type"].endswith(slug)
