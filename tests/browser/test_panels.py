"""The dashboard's scoreboard, earlier forecasts, models and candle checks in a real browser, on the real graph."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
import pytest

from deployments.forecasting.issued import IssuedForecast
from deployments.forecasting.keeping.store import ForecastStore
from tests.fakes.forecasting import issued_forecast
from tests.running_stack import RunningStack, until

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = [
    pytest.mark.browser,
    pytest.mark.ray,
    pytest.mark.db,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

API = "**/api/v1"
HORIZON = 24
MANY, FEW = 120, 6
DRAWN = 8
NARROW = 390
VERSIONS = ("20240201T000000Z-aaaaaa", "20240208T000000Z-bbbbbb")

JUDGED = "2024-02-08T00:00:00Z"

SignIn = Callable[..., "Page"]


@pytest.fixture(scope="module", autouse=True)
def issued(stack: RunningStack) -> None:
    """Forecasts issued every hour whose bars have come: many of one symbol, few of another, none of the third."""
    store = ForecastStore(stack.home / "forecasts.lance")
    store.append(earlier_forecasts(stack, "BTCUSD", MANY) + earlier_forecasts(stack, "ETHUSD", FEW))


def earlier_forecasts(stack: RunningStack, symbol: str, count: int) -> list[IssuedForecast]:
    """Return hourly forecasts around the last close, the newest of which ended with the candles."""
    bars = stack.candles.filter(pc.equal(stack.candles["symbol"], symbol))
    times = bars["time"].to_pylist()
    log_closes = np.log(bars["close"].to_numpy())
    last = len(times) - 1 - HORIZON
    issued = [
        issued_forecast(symbol, times[row].astimezone(UTC), HORIZON, centre=float(log_closes[row]), width=0.02)
        for row in range(last - count + 1, last + 1)
    ]
    now = datetime.now(UTC)
    # Told as of now, as everything is that is issued on old candles.
    return [
        replace(one, forecast=replace(one.forecast, issued_at=now - timedelta(minutes=len(issued) - number)))
        for number, one in enumerate(issued)
    ]


def show(page: "Page", symbol: str) -> None:
    """Bring a symbol onto the page with its candles, its forecast and its scores."""
    page.goto(f"{page.url.split('#')[0]}#/{symbol}/1h/{HORIZON}")
    page.locator(f"[data-testid=chart][aria-label*='{symbol}'][data-forecast-points='{HORIZON}']").wait_for()


def answer(body: object, status: int = 200) -> "Callable[[Route], None]":
    """Return what answers a request of the page in the server's place."""
    return lambda route: route.fulfill(status=status, content_type="application/json", body=json.dumps(body))


def model(version: str, status: str, verdict: str) -> dict[str, Any]:
    decided = {"version": version, "verdict": verdict, "reason": f"the judge said {verdict}", "replaced": None}
    decision: dict[str, Any] = {**decided, "decided_at": JUDGED, "evidence": {"n": 300.0}, "lost_symbols": []}
    spans = {"trained_at": JUDGED, "data_start": "2023-01-01T00:00:00Z", "data_end": JUDGED}
    made = {"sha256": "ab" * 32, "data_sha256": "", "seed": 1, "code_version": "1.0", "input_size": 48}
    known = {"version": version, "interval": "1h", "horizon": HORIZON, "status": status, "symbols": ["BTCUSD"]}
    return {**known, **spans, **made, "metrics": {}, "config": {}, "decision": decision}


def with_two_models(page: "Page") -> None:
    """Let the page see a champion and a candidate that the judge refused."""
    champion, candidate = model(VERSIONS[0], "champion", "promote"), model(VERSIONS[1], "candidate", "keep")
    champions = {f"1h-h{HORIZON}": VERSIONS[0]}
    models = {"models": [candidate, champion], "champions": champions, "faults": {}}
    page.route(f"{API}/models", answer({**models, "history": [champion["decision"]]}))
    page.route(f"{API}/models/{VERSIONS[1]}", answer(candidate))
    page.reload()


def open_candidate(page: "Page") -> None:
    page.locator("details[data-key=versions] > summary").click()
    page.locator(f"details[data-key='version {VERSIONS[1]}'] > summary").click()
    page.locator(f"details[data-key='evidence {VERSIONS[1]}']").wait_for()


def test_earlier_forecasts_lie_under_the_candles_until_they_are_switched_off(page: "Page") -> None:
    show(page, "BTCUSD")
    page.locator(f"[data-testid=chart][data-earlier='{DRAWN}']").wait_for()
    earlier = page.get_by_test_id("earlier-forecasts")
    earlier.locator("summary").click()

    assert earlier.locator("tbody tr").count() == DRAWN
    switch = page.get_by_role("button", name="Earlier forecasts")
    switch.click()
    page.locator("[data-testid=chart][data-earlier='0']").wait_for()
    assert switch.get_attribute("aria-pressed") == "false"
    switch.click()
    page.locator(f"[data-testid=chart][data-earlier='{DRAWN}']").wait_for()


def test_the_scoreboard_tells_scores_beside_the_baseline_and_what_the_sample_is(page: "Page") -> None:
    show(page, "BTCUSD")
    scores = page.get_by_test_id("scores-card")
    scores.get_by_role("row", name=re.compile(rf"Forecasts scored {MANY} ")).wait_for()

    assert re.search(r"80 % interval held\s+[\d.]+ % \([+−±]", scores.inner_text())
    assert page.get_by_test_id("setback").inner_text().startswith("The baseline answers")


def test_the_scoreboard_says_where_there_is_too_little_to_judge_by(page: "Page") -> None:
    show(page, "ETHUSD")
    page.get_by_test_id("sample").get_by_text(f"Too few for ETHUSD: {FEW} forecasts").wait_for()
    show(page, "SOLUSD")
    page.get_by_test_id("sample").get_by_text("None for SOLUSD yet").wait_for()


def test_the_quality_panel_lists_every_check(page: "Page") -> None:
    show(page, "BTCUSD")
    page.locator("details[data-key=checks] > summary").click()
    checks = page.get_by_test_id("quality-card").locator("details[data-key=checks] tbody")

    assert {"high low", "jump", "gap", "duplicate"} <= {row.split("\t")[0] for row in checks.inner_text().splitlines()}


def test_a_session_that_may_not_promote_is_not_offered_to(sign_in: SignIn) -> None:
    operator = sign_in("operate")
    with_two_models(operator)
    show(operator, "BTCUSD")
    operator.locator("html[data-scope=operate]").wait_for()
    open_candidate(operator)

    assert not operator.get_by_role("button", name="Promote").is_visible()
    assert not operator.get_by_role("button", name="Roll back the latest promotion").is_visible()


def test_an_administrator_confirms_a_promotion_and_reads_why_it_is_refused(sign_in: SignIn) -> None:
    admin = sign_in("admin")
    with_two_models(admin)
    refusal = {"type": "/docs/problems#promotion-refused", "title": "Promotion refused", "status": 409}
    admin.route(f"{API}/models/*/promote", answer({**refusal, "detail": "the gate said keep"}, 409))
    show(admin, "BTCUSD")
    open_candidate(admin)
    admin.get_by_role("button", name="Promote", exact=True).click()
    dialog = admin.get_by_test_id("confirm")
    dialog.get_by_text(f"It replaces {VERSIONS[0]}.", exact=False).wait_for()
    admin.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert admin.get_by_text("Promotion refused").count() == 0

    admin.get_by_role("button", name="Promote", exact=True).click()
    dialog.get_by_role("button", name="Promote", exact=True).click()
    admin.get_by_test_id("model-card").get_by_text("the gate said keep").wait_for()


def test_a_failed_refresh_keeps_what_was_read_and_says_how_old_it_is(sign_in: SignIn) -> None:
    page = sign_in()
    show(page, "BTCUSD")
    scores = page.get_by_test_id("scores-card")
    scores.get_by_test_id("standings").wait_for()
    page.route(f"{API}/accuracy", answer({"title": "The database is away", "status": 503, "detail": "<b>x</b>"}, 503))
    page.evaluate("window.dispatchEvent(new HashChangeEvent('hashchange'))")
    scores.get_by_text("The database is away").wait_for()

    assert scores.get_by_text("What stands below was read").is_visible()
    assert scores.get_by_test_id("standings").is_visible()
    assert scores.get_by_text("<b>x</b>").is_visible()
    page.unroute(f"{API}/accuracy")
    scores.get_by_role("button", name="Try again").click()
    scores.get_by_text("The database is away").wait_for(state="detached")


def test_a_refresh_leaves_open_and_focused_what_was(page: "Page") -> None:
    show(page, "ETHUSD")
    gone = page.get_by_test_id("quality-card").locator("details[data-key=checks]").element_handle()
    page.locator("details[data-key=checks] > summary").focus()
    page.keyboard.press("Enter")
    page.evaluate("window.dispatchEvent(new HashChangeEvent('hashchange'))")
    gone.wait_for_element_state("hidden")

    assert page.locator("details[data-key=checks] > summary:focus").count() == 1
    assert page.locator("details[data-key=checks][open]").count() == 1


def test_a_stream_that_comes_back_has_the_page_look_again(sign_in: SignIn) -> None:
    page = sign_in()
    streams: list[Route] = []

    def events(route: "Route") -> None:
        streams.append(route)
        if len(streams) == 1:  # ends at once; the next one waits for the test
            route.fulfill(content_type="text/event-stream", body="retry: 100\n\n")

    page.route(f"{API}/events", events)
    page.reload()
    show(page, "BTCUSD")
    page.get_by_test_id("standings").wait_for()
    until(lambda: bool(page.title()) and len(streams) > 1, 30.0, "a second stream")
    with page.expect_request(f"{API}/accuracy"):
        streams[1].continue_()


def test_two_open_dashboards_go_their_own_ways(page: "Page") -> None:
    show(page, "BTCUSD")
    page.locator(f"[data-testid=chart][data-earlier='{DRAWN}']").wait_for()
    other = page.context.new_page()
    other.goto(page.url)
    show(other, "ETHUSD")
    other.get_by_role("button", name="Earlier forecasts").click()
    other.locator("[data-testid=chart][data-earlier='0']").wait_for()

    assert page.get_by_test_id("chart").get_attribute("data-earlier") == str(DRAWN)
    assert "BTCUSD" in page.title()
    other.get_by_role("button", name="Earlier forecasts").click()
    other.close()


def test_the_page_fits_a_phone(sign_in: SignIn) -> None:
    phone = sign_in(width=NARROW)
    show(phone, "BTCUSD")
    phone.get_by_test_id("standings").wait_for()

    widest, shown = phone.locator("html").evaluate("page => [page.scrollWidth, page.clientWidth]")
    assert widest <= shown
