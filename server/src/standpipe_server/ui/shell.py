"""The HTML that the server writes itself: the shell of the pages, the login page, what stands in without a build.

No script stands in a page, no style without its hash in the policy, and nothing comes from another host.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Final

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;min-height:100vh;display:grid;place-items:center;"
    "background:light-dark(#f5f6f8,#101418);color:light-dark(#16202c,#e4e9ef)}"
    "main{width:min(26rem,calc(100vw - 4rem));background:light-dark(#fff,#171d24);padding:2rem;border-radius:10px;"
    "border:1px solid light-dark(#d9dee5,#2b343f)}"
    "h1{font-size:1.25rem;margin:0 0 .75rem}p{margin:.5rem 0}label{display:block;margin:1.25rem 0 .25rem;"
    "font-weight:600}input{box-sizing:border-box;width:100%;font:inherit;padding:.5rem .6rem;border-radius:6px;"
    "border:1px solid light-dark(#8693a3,#66758a);background:light-dark(#fff,#101418);color:inherit}"
    "button{margin-top:1rem;font:inherit;font-weight:600;padding:.5rem 1.1rem;border:0;border-radius:6px;"
    "background:#0b5fc4;color:#fff;cursor:pointer}:focus-visible{outline:2px solid #3b8eea;outline-offset:2px}"
    "code{font:14px ui-monospace,monospace;background:light-dark(#eceff3,#222a33);padding:.1rem .35rem;"
    "border-radius:4px}.wrong{color:light-dark(#b3261e,#ff9d94);font-weight:600}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_COMMON: Final = "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
LOGIN_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; {_COMMON}"
PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    f"font-src 'self'; manifest-src 'self'; {_COMMON}"
)


def page_shell(entries: Mapping[str, str], *, base_path: str, csrf_token: str, version: str, public_url: str) -> str:
    """The one document of all pages; its script reads the address and draws the page."""
    static = {name: f"{escape(base_path)}/static/{escape(file)}" for name, file in entries.items()}
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Standpipe</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<meta name="standpipe-base" content="{escape(base_path)}/">'
        f'<meta name="standpipe-csrf" content="{escape(csrf_token)}">'
        f'<meta name="standpipe-version" content="{escape(version)}">'
        f'<meta name="standpipe-url" content="{escape(public_url)}">'
        f'<link rel="icon" href="{static["icon.svg"]}">'
        f'<link rel="stylesheet" href="{static["app.css"]}">'
        # Before the first paint, so that a theme that was chosen does not flash in the other one.
        f'<script src="{static["theme.js"]}"></script>'
        f'<script type="module" src="{static["app.js"]}"></script>'
        '</head><body><div id="app"></div><noscript>These pages need JavaScript. Without it the history is at '
        "/api/v1, and <code>standpipe ls</code> shows it in a terminal.</noscript></body></html>"
    )


def login_page(*, base_path: str, following: str, wrong: str = "") -> str:
    """The page for a person without a session. It has no script."""
    complaint = f'<p class="wrong" role="alert">{escape(wrong)}</p>' if wrong else ""
    return _small_page(
        "Sign in to Standpipe",
        f"{complaint}<p>Run <code>standpipe open</code> on the server's machine, or use the link that "
        "<code>standpipe serve</code> printed. Each link works once.</p>"
        f'<form method="post" action="{escape(base_path)}/login">'
        f'<input type="hidden" name="next" value="{escape(following)}">'
        '<label for="key">Or give the operator key</label>'
        '<input id="key" name="key" type="password" autocomplete="current-password" required>'
        '<button type="submit">Sign in</button></form>',
    )


def unbuilt_page() -> str:
    return _small_page(
        "The pages are not built",
        "<p>This checkout holds the pages' sources only. Run <code>scripts/pages</code> in it and reload; an installed "
        "package brings them along. The API is at <code>/api/v1</code>.</p>",
    )


def again_page() -> str:
    """Loads the same address once more, this time as a navigation of our own: a strict cookie comes along then."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Standpipe</title>'
        '<meta http-equiv="refresh" content="0"></head><body></body></html>'
    )


def _small_page(title: str, content: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>{content}</main></body></html>"
    )
