"""Pages of the built book as a browser shows them: what it complains of, what it fetches, what axe-core finds.

python tests/support/browser.py _build/html [FOLDER]       every page, desktop and phone, light and dark; screenshots
                                                           into FOLDER; fails if something is wrong with one
"""

import contextlib
import functools
import http.server
import json
import re
import shutil
import sys
import threading
from pathlib import Path

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@functools.cache
def _axe():
    import axe_playwright_python

    return next(Path(axe_playwright_python.__file__).parent.rglob("axe*.js")).read_text(encoding="utf-8")


@contextlib.contextmanager
def serve(folder):
    """The address at which the loopback interface serves a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()


@contextlib.contextmanager
def silent_page(browser):
    """A page of desktop size; afterwards it must have said nothing and loaded nothing but files of this machine."""
    context = browser.new_context(viewport=dict(zip(("width", "height"), SIZES["desktop"], strict=True)))
    opened, complaints = context.new_page(), []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    opened.on("request", lambda r: None if re.match("(file|data|blob):", r.url) else complaints.append(r.url))
    yield opened
    context.close()
    assert complaints == []


def look(page, address, screenshot=None, axe=True):
    """What is wrong with one page: console messages, addresses beyond this machine, axe's serious findings, and by how
    many pixels the page is wider than the window. axe: whether, or in which part of the page (a CSS selector)."""
    messages, loads = [], []
    page.on("console", lambda m: messages.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("response", lambda r: messages.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    page.on("request", lambda r: loads.append(r.url) if not re.match(r"(file|data|blob):|http://127", r.url) else None)
    page.goto(address)
    if page.query_selector("div.interactive"):
        page.wait_for_selector("div.interactive .main-svg", timeout=20_000)
    if page.query_selector("div.catalogue"):
        page.wait_for_selector("div.dt-container", timeout=20_000)
    found = {"console": messages, "loads": loads, "axe": [], "too_wide": _too_wide(page)}
    if screenshot:
        page.screenshot(path=screenshot, full_page=True)
    if axe:
        page.evaluate(_axe())
        where = "document" if axe is True else f"document.querySelector({axe!r}) || document"
        result = page.evaluate(f"axe.run({where}, {{resultTypes: ['violations'], preload: false}})")
        found["axe"] = [
            {"rule": v["id"], "help": v["help"], "where": [n["html"][:200] for n in v["nodes"][:8]]}
            for v in result["violations"]
            if v["impact"] in ("serious", "critical")
        ]
    return found


def _too_wide(page):
    return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


class Chromium:
    """A browser that is started again when it has died."""

    def __init__(self, playwright):
        self._playwright = playwright
        self._browser = None

    def new_context(self, **options):
        if self._browser is None or not self._browser.is_connected():
            # containers have little shared memory, and a browser that finds it full dies
            flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
            self._browser = self._playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        return self._browser.new_context(**options)

    def close(self):
        if self._browser is not None:
            self._browser.close()


@contextlib.contextmanager
def chromium():
    """Start playwright, and the browser when its first context is asked for."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, contextlib.closing(Chromium(playwright)) as browser:
        yield browser


def look_at_all(browser, html, folder=None, only=None, whole=".", axe=".", theme="light"):
    """Look at all pages below a folder that a reader can reach.

    Parameters
    ----------
    browser : Chromium
    html : path
        The built book.
    folder : path, optional
        Of screenshots.
    only : str, optional
        Regular expression that the names of pages match.
    whole, axe : str
        Regular expressions for the pages that axe checks: all of the page, or its article. What surrounds the article
        is the same on all pages.
    theme : {"light", "dark"}

    Returns
    -------
    dict
        Page -> what :func:`look` finds at the first of ``SIZES``, and ``too_wide_on`` the others.
    """
    out, (first, *others) = {}, [dict(zip(("width", "height"), size, strict=True)) for size in SIZES.values()]
    with serve(html) as root:
        context = browser.new_context(viewport=first, color_scheme=theme)
        for path in sorted(Path(html).rglob("*.html")):
            relative = path.relative_to(html).as_posix()
            if (
                relative.startswith("_static")
                or relative in ("genindex.html", "index.html", "search.html")
                or (only and not re.search(only, relative))
            ):
                continue
            page = context.new_page()
            shot = f"{relative.replace('/', '_')}.{theme}"
            shots = [Path(folder) / f"{shot}.{name}.png" if folder else None for name in SIZES]
            part = bool(re.search(whole, relative)) or ("article" if re.search(axe, relative) else False)
            found = look(page, root + relative, shots[0], part)
            found["too_wide_on"] = []
            for size, shot in zip(others, shots[1:], strict=True):
                page.set_viewport_size(size)
                for _ in range(30):  # figures follow the window, some later than others
                    page.wait_for_timeout(100)
                    wide = _too_wide(page)
                    if wide <= 0:
                        break
                found["too_wide_on"].append(wide)
                if shot:
                    page.screenshot(path=shot, full_page=True)
            out[relative] = found
            page.close()
        context.close()
    return out


def wrong(result):
    """Whether anything is wrong with a page, by what :func:`look_at_all` finds."""
    return max(result["too_wide"], *result["too_wide_on"]) > 0 or any(result[k] for k in ("console", "loads", "axe"))


if __name__ == "__main__":
    bad = 0
    with chromium() as started:
        for theme_name in ("light", "dark"):
            for page_name, result in look_at_all(started, sys.argv[1], *sys.argv[2:3], theme=theme_name).items():
                bad += wrong(result)
                print(theme_name, page_name, json.dumps(result, indent=1) if wrong(result) else "fine", flush=True)
    sys.exit(bad > 0)
