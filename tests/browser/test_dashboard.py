"""The dashboard in a real browser, on the real graph."""

from typing import TYPE_CHECKING

import pytest

from tests.running_stack import RunningStack

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.ray,
    pytest.mark.db,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]


def test_a_link_opens_the_dashboard_once(stack: RunningStack, page: "Page") -> None:
    link = stack.command("login").strip()
    stranger = page.context.browser.new_context()  # type: ignore[union-attr]  # a page of ours has a browser
    first = stranger.new_page().goto(link)
    second = page.context.browser.new_context().new_page().goto(link)  # type: ignore[union-attr]

    assert first is not None
    assert first.ok
    assert second is not None
    assert second.status == 401


def test_the_page_shows_candles_and_a_forecast(page: "Page") -> None:
    chart = page.get_by_test_id("chart")
    chart.wait_for()
    # A selector, not a script: the page's content policy forbids the string that `wait_for_function` would evaluate.
    page.locator("[data-testid=chart][data-forecast-points='24']").wait_for()

    assert int(chart.get_attribute("data-candles") or 0) > 100
    assert page.get_by_test_id("forecast-model").inner_text()


def test_old_data_carry_a_banner(page: "Page") -> None:
    banner = page.get_by_test_id("stale-banner")
    banner.wait_for()

    assert "2024" in banner.inner_text()


def test_an_analysis_is_written_and_names_its_engine(page: "Page") -> None:
    card = page.get_by_test_id("analysis-card")
    card.get_by_role("button", name="Analyze").click()
    text = page.get_by_test_id("analysis-text")
    text.wait_for()
    page.get_by_test_id("analysis-engine").get_by_text("template", exact=False).first.wait_for()

    assert "forecast" in text.inner_text()


def test_the_sync_is_shown(page: "Page") -> None:
    assert page.get_by_test_id("sync-state").inner_text() in {"running", "cycle running"}


def test_swagger_works_without_a_network(stack: RunningStack, page: "Page") -> None:
    docs = page.context.new_page()
    foreign: list[str] = []
    docs.on("request", lambda request: None if request.url.startswith(stack.url) else foreign.append(request.url))
    docs.goto(f"{stack.url}/docs")
    docs.get_by_text("/api/v1/forecast/{symbol}", exact=True).first.wait_for()

    assert [url for url in foreign if not url.startswith(("data:", "blob:"))] == []
