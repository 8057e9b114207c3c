"""The gateway's own pages: small, static, without scripts."""

import html
import re
from pathlib import Path

_NO_ICON = '<link rel="icon" href="data:,">'
"""Keeps browsers from asking for an icon that these pages do not have."""

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:12vh auto;padding:0 1.5rem;"
    "color-scheme:light dark}"
    "code,pre{background:#8882;padding:.15em .4em;border-radius:4px}"
    "pre{padding:1rem;overflow:auto}h2{margin-top:2.5rem}"
)


def page(title: str, body: str) -> str:
    """Return an HTML page; `body` is HTML already."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"{_NO_ICON}<title>{html.escape(title)} · Candlecast</title><style>{_STYLE}</style></head>"
        f"<body>{body}</body></html>"
    )


LOGIN = page(
    "Sign in",
    "<h1>Candlecast</h1><p>This dashboard opens with a link that works once. Get one on the machine that runs "
    "Candlecast:</p><pre>candlecast login</pre><p>or, with an admin key, from anywhere:</p>"
    "<pre>curl -X POST -H 'X-API-Key: …' &lt;this address&gt;/api/v1/login-links</pre>"
    '<p>Programs send a key with each request; the routes are listed at <a href="/docs">/docs</a>.</p>',
)

LINK_SPENT = page(
    "Link not valid",
    "<h1>This link does not work any more</h1><p>It was used already or its time is over; each opens one session.</p>"
    '<p><a href="/login">How to get a new one</a></p>',
)

NOT_BUILT = page(
    "Dashboard not built",
    "<h1>The dashboard is not built yet</h1><p>Candlecast itself is running. Build its pages with</p>"
    '<pre>make setup</pre><p>and reload. The HTTP interface is described at <a href="/docs">/docs</a>.</p>',
)

SWAGGER = (
    f'<!doctype html><html lang="en"><head><meta charset="utf-8">{_NO_ICON}<title>Candlecast HTTP interface</title>'
    '<link rel="stylesheet" href="/swagger/swagger-ui.css"></head><body><div id="swagger-ui">'
    '<noscript>The same description as JSON: <a href="/openapi.json">/openapi.json</a></noscript></div>'
    '<script src="/swagger/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>'
)

SWAGGER_START = (
    "window.ui = SwaggerUIBundle({url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, "
    "persistAuthorization: false, presets: [SwaggerUIBundle.presets.apis], layout: 'BaseLayout'});\n"
)

PROBLEMS = Path(__file__).resolve().parents[2] / "docs" / "problems.md"


def problems_page(source: Path = PROBLEMS) -> str:
    """Return `docs/problems.md` as HTML whose headings carry the slugs that problem documents point at."""
    text = source.read_text(encoding="utf-8") if source.is_file() else "# Problems\n\nThe text is not installed here."
    blocks = (block.strip() for block in text.split("\n\n"))
    return page("Problems", "".join(_block(block) for block in blocks if block))


def _block(block: str) -> str:
    heading = re.fullmatch(r"(#{1,2}) (.+)", block)
    if heading is None:
        return f"<p>{_inline(block)}</p>"
    level, text = len(heading[1]), html.escape(heading[2])
    return f'<h{level} id="{text}">{text}</h{level}>'


def _inline(text: str) -> str:
    escaped = html.escape(text, quote=False)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)
