"""The dashboard's files, the login, and the pages about the interface itself. All open but the dashboard."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from deployments.common.errors import UnknownRoute
from deployments.gateway.bodies import LoginLinkBody
from deployments.gateway.models import Caller, Scope
from deployments.gateway.pages import (
    LINK_SPENT,
    LOGIN,
    NOT_BUILT,
    SWAGGER,
    SWAGGER_START,
    problems_page,
)
from deployments.gateway.parts import PartsGiven
from deployments.gateway.routes.routing import router
from deployments.gateway.wire.answers import LoginLinkAnswer, SessionAnswer, json_answer
from deployments.gateway.wire.problems import PAGE

pages = APIRouter(include_in_schema=False)
read = router("login", Scope.READ)
admin = router("login", Scope.ADMIN)

IMMUTABLE = "public, max-age=31536000, immutable"
"""For files whose names carry a hash of their content."""
REVALIDATED = "no-cache"
ROOT_FILES = frozenset({".svg", ".ico", ".png", ".webmanifest", ".txt"})


@pages.get("/")
async def dashboard(request: Request, parts: PartsGiven) -> Response:
    """Return the dashboard, or how to sign in to it."""
    if request.state.caller is None:
        return HTMLResponse(LOGIN, 401, {"WWW-Authenticate": "Bearer"})
    index = parts.settings.dashboard_dir / "index.html"
    if not index.is_file():
        return HTMLResponse(NOT_BUILT, 503)
    return FileResponse(index, headers={"Cache-Control": REVALIDATED}, media_type="text/html")


@pages.get("/assets/{name:path}")
async def assets(name: str, parts: PartsGiven) -> Response:
    """Return a built file of the dashboard."""
    return _file(parts.settings.dashboard_dir / "assets", name, IMMUTABLE)


@pages.get("/swagger/{name:path}")
async def swagger(name: str, parts: PartsGiven) -> Response:
    """Return a file of Swagger UI."""
    return _file(parts.settings.dashboard_dir / "swagger", name, REVALIDATED)


@pages.get("/docs")
async def docs() -> Response:
    """Return Swagger UI."""
    return HTMLResponse(SWAGGER)


@pages.get("/docs/start.js")
async def docs_start() -> Response:
    """Return the one line of script that opens Swagger UI; the policy allows none inside the page."""
    return Response(SWAGGER_START, media_type="text/javascript")


@pages.get(PAGE)
async def problems() -> Response:
    """Return what each problem type means and what to do about it."""
    return HTMLResponse(problems_page())


@pages.get("/login")
async def login(
    request: Request, parts: PartsGiven, token: Annotated[str | None, Query(max_length=200)] = None
) -> Response:
    """Exchange a link's token for a session, or say how to get a link."""
    if token is None:
        return HTMLResponse(LOGIN)
    scopes = parts.links.redeem(token)
    if scopes is None:
        return HTMLResponse(LINK_SPENT, 401, {"WWW-Authenticate": "Bearer"})
    lasts_s = parts.settings.session_s
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        parts.sessions.cookie_name,
        parts.sessions.issue(scopes, lasts_s),
        max_age=int(lasts_s),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@pages.post("/logout")
async def logout(parts: PartsGiven) -> Response:
    """Forget the session in this browser."""
    answer = Response(status_code=204)
    answer.delete_cookie(parts.sessions.cookie_name, httponly=True, samesite="strict")
    return answer


@read.get("/session", response_model=SessionAnswer)
async def session(request: Request) -> Response:
    """Return who calls and what they may do, so that a page offers only what will be allowed."""
    caller: Caller = request.state.caller
    allowed = [scope for scope in Scope if caller.may(scope)]
    return json_answer({"name": caller.name, "kind": caller.kind, "scopes": allowed})


@admin.post("/login-links", status_code=201, response_model=LoginLinkAnswer)
async def create_login_link(parts: PartsGiven, body: LoginLinkBody | None = None) -> Response:
    """Return a path that opens one session of the dashboard."""
    wanted = body or LoginLinkBody()
    expires_at = parts.clock() + timedelta(seconds=wanted.ttl_s)
    token = parts.links.create(wanted.ttl_s, (wanted.scope,))
    return json_answer({"url_path": f"/login?token={token}", "expires_at": expires_at, "scope": wanted.scope}, 201)


@pages.get("/{name}")
async def root_file(name: str, parts: PartsGiven) -> Response:
    """Return one of the few files that browsers look for at the root, such as the icon."""
    if Path(name).suffix not in ROOT_FILES:
        raise UnknownRoute("no such path; the routes are listed at /docs")
    return _file(parts.settings.dashboard_dir, name, REVALIDATED)


def _file(folder: Path, name: str, cache: str) -> Response:
    """Answer with a file inside `folder`; whatever resolves elsewhere does not exist."""
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder.resolve()) and path.is_file()
    except (OSError, ValueError):  # a name too long or with a null byte
        inside = False
    if not inside:
        raise UnknownRoute("no such file")
    return FileResponse(path, headers={"Cache-Control": cache})
