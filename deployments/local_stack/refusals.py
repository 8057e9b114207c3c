"""A problem document in words for the person at the terminal."""

from collections.abc import Mapping
from typing import Any

import httpx

from deployments.common.errors import (
    CandlecastError,
    DamagedModel,
    DatabaseUnavailable,
    Forbidden,
    NoCandles,
    PreconditionFailed,
    PromotionRefused,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UnknownModel,
    UnknownSymbol,
)

PROBLEM_TYPE = "application/problem+json"
MOST_TOLD = 500
"""Characters of an answer in no form of ours, such as a proxy's page."""

_ADVICE: dict[type[CandlecastError], str] = {
    PromotionRefused: "to promote it all the same, say --force",
    UnknownModel: "`candlecast models list` shows which versions there are",
    DamagedModel: "train another, or roll back with `candlecast models rollback`",
    UnknownSymbol: "`candlecast symbols list` shows which are managed",
    NoCandles: "bring some in with `candlecast import`",
    PreconditionFailed: "somebody changed it meanwhile; look at it and try again",
    Unauthenticated: "the stack's own key no longer opens; start it again with `candlecast up`",
    Forbidden: "the stack's own key no longer opens; start it again with `candlecast up`",
    RateLimited: "try again in a moment",
    Unavailable: "try again in a moment; `candlecast status` says how the stack does",
    DatabaseUnavailable: "try again in a moment; `candlecast status` says how the stack does",
}
ADVICE = {error.slug: advice for error, advice in _ADVICE.items()}
"""What to do about a problem, by its slug; the others say it themselves."""


def told(answer: httpx.Response) -> str:
    """Return what an error answer says: its title, what is wrong here, each refused field, and what to do."""
    problem = _problem(answer)
    if problem is None:
        asked = f"{answer.request.method} {answer.request.url.raw_path.decode()}"
        return f"{asked}: {answer.status_code} {answer.text[:MOST_TOLD]}".strip()
    said = [f"{problem['title']}: {problem['detail']}" if problem.get("detail") else str(problem["title"])]
    said += [f"  {each['field']}: {each['problem']}" for each in problem.get("fields", ())]
    advice = ADVICE.get(str(problem.get("type", "")).rpartition("#")[2])
    return "\n".join([*said, advice] if advice else said)


def _problem(answer: httpx.Response) -> Mapping[str, Any] | None:
    if not answer.headers.get("content-type", "").startswith(PROBLEM_TYPE):
        return None
    try:
        document = answer.json()
    except ValueError:
        return None
    return document if isinstance(document, dict) and "title" in document else None
