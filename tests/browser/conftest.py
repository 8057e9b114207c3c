"""A browser, and pages of the dashboard signed in by one-time links."""

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.running_stack import RunningStack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
PATIENCE_MS = 30_000
WIDE = 1440

SignIn = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def sign_in(stack: RunningStack, browser: "Browser") -> SignIn:
    """Open the dashboard in a browser profile of its own, with a session of the scope given."""

    def signed_in(scope: str = "operate", width: int = WIDE) -> "Page":
        page = browser.new_context(viewport={"width": width, "height": 1000}).new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(stack.command("login", "--scope", scope).strip())
        return page

    return signed_in


@pytest.fixture(scope="module")
def page(sign_in: SignIn) -> Iterator["Page"]:
    """A signed-in page; errors of scripts and of the content policy fail it at its end."""
    page = sign_in()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.reload()
    yield page
    assert errors == []
