"""The HTML report in a real browser: whole in one file, quiet, readable in both colour schemes."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import subprocess
import threading
import zlib
from pathlib import Path

import pytest

from autoloader.render import progress_html, table_html
from tests.unit.test_render import HOSTILE, _files, _load, _plan

pytestmark = pytest.mark.slow

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --enable-logging=stderr --v=0 --virtual-time-budget=2000"
).split()
DARK, LIGHT = "0", "1"
ANYWHERE = re.compile(r"""(?:src|href)\s*=\s*["']?(?!data:|#)|url\(|@import|<script|\bon\w+\s*=""", re.IGNORECASE)


@pytest.fixture(scope="module")
def browser() -> str:
    if BROWSER is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs Chromium: apt-get install chromium")
        pytest.skip("no Chromium on this machine")
    return BROWSER


class Asked(http.server.ThreadingHTTPServer):
    """Serves one page and remembers every path that was asked for."""

    def __init__(self, page: str) -> None:
        asked: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200 if self.path == "/plan.html" else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(page.encode() if self.path == "/plan.html" else b"")

            def log_message(self, *_: object) -> None:
                """Nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.paths = asked


def look(
    browser: str, page: str, folder: Path, scheme: str, *more: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The page in a browser that can reach nothing else: its output, and what it asked our server for."""
    server = Asked(page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = subprocess.run(
            [
                browser,
                *FLAGS,
                f"--user-data-dir={folder / 'profile'}",
                f"--blink-settings=preferredColorScheme={scheme}",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                *more,
                f"http://127.0.0.1:{server.server_port}/plan.html",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    return done, server.paths


def report() -> str:
    """A page with everything on it, hostile names included."""
    from autoloader.render import plan_html

    return plan_html(_plan(_load(), _load(HOSTILE, HOSTILE)), files=_files("one.csv", HOSTILE))


@pytest.fixture(params=[LIGHT, DARK], ids=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_report_asks_for_nothing_and_says_nothing_on_the_console(browser: str, tmp_path: Path, scheme: str) -> None:
    done, asked = look(browser, report(), tmp_path, scheme, "--dump-dom")
    assert asked == ["/plan.html"]
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert "2 to create" in done.stdout
    assert "<script>alert" not in done.stdout


def test_a_script_in_a_report_would_be_heard(browser: str, tmp_path: Path) -> None:
    """That the check above can fail at all."""
    loud = "<!doctype html><link rel=icon href='data:,'><script>console.error('heard')</script><img src=/asked.png>"
    done, asked = look(browser, loud, tmp_path, LIGHT, "--dump-dom")
    assert "/asked.png" in asked
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line and "heard" in line]


def corner(picture: Path) -> tuple[int, ...]:
    """Red, green and blue of a PNG's first pixel: it has no neighbours, so every filter leaves it as it is."""
    data, at, packed = picture.read_bytes(), 8, b""
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + size]
        at += size + 12
    return tuple(zlib.decompress(packed)[1:4])


def test_the_page_follows_the_colour_scheme(browser: str, tmp_path: Path, scheme: str) -> None:
    picture = tmp_path / "page.png"
    look(browser, report(), tmp_path, scheme, "--window-size=900,900", f"--screenshot={picture}")
    assert corner(picture) == ((13, 17, 23) if scheme == DARK else (255, 255, 255))


def contrast(one: str, other: str) -> float:
    """WCAG 2: from 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_every_ink_can_be_read_on_every_ground_in_both_schemes() -> None:
    style = report().split("<style>")[1].split("</style>")[0]
    light, dark = (dict(re.findall(r"--(\w+):(#\w{6})", block)) for block in re.findall(r"{(--ink[^}]*)}?", style))
    assert set(light) == set(dark)
    for colours in (light, dark):
        for ink in ("ink", "soft", "add", "load", "edit", "stop"):
            for ground in ("page", "card"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground, colours[ink], colours[ground])


def test_no_fragment_for_notebooks_refers_to_anything_elsewhere() -> None:
    from autoloader.render import plan_fragment

    pieces = (
        report(),
        plan_fragment(_plan(_load(HOSTILE, HOSTILE)), files=_files(HOSTILE)),
        table_html([{"path": HOSTILE}], ["path"], title=HOSTILE, closing=[HOSTILE]),
        progress_html([(HOSTILE, 50, HOSTILE)], HOSTILE),
    )
    for piece in pieces:
        bare = piece.replace('<link rel="icon" href="data:,">', "")
        assert ANYWHERE.search(re.sub(r"&[#\w]+;", "", bare)) is None
        assert "\x1b" not in piece
        assert "\u202e" not in piece
