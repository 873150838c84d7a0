"""Makes what people look at, from real output: the notebooks' stored outputs and the README's pictures.

    python docs/pictures.py               both
    python docs/pictures.py notebooks     notebooks/*.ipynb, run and stored with their outputs
    python docs/pictures.py images        docs/images/*, needs Chromium

Nothing is drawn by hand: terminals are recordings of commands, pages are rendered by a browser.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
IMAGES: Final = ROOT / "docs" / "images"
NOTEBOOKS: Final = ROOT / "notebooks"
COLUMNS: Final = 104
CHROMIUM_FLAGS: Final = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --hide-scrollbars --force-device-scale-factor=1.25"
).split()
SCHEMES: Final = {"dark": 0, "light": 1}

sys.path.insert(0, str(ROOT))


def main(words: list[str]) -> int:
    """Makes what the words name, or everything."""
    if not words or "notebooks" in words:
        run_notebooks()
    if not words or "images" in words:
        make_images()
    return 0


# ------------------------------------------------------------------ notebooks


def run_notebooks() -> None:
    """Runs every notebook in a kernel of its own and stores it with its outputs."""
    import nbformat
    from nbclient import NotebookClient

    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        print(f"running {path.name}", flush=True)
        book = nbformat.read(path, as_version=4)
        NotebookClient(
            book, timeout=600, kernel_name="python3", resources={"metadata": {"path": path.parent}}
        ).execute()
        for cell in book.cells:
            cell.metadata.pop("execution", None)  # the times at which each cell ran
            for output in cell.get("outputs", ()):
                output.update(_without_places(dict(output)))
        book.metadata["language_info"] = {"name": "python"}
        path.write_text(nbformat.writes(book) + "\n", encoding="utf-8")


def _without_places(value: Any) -> Any:
    """Outputs with the scratch folder's name, which differs each time, replaced by /project."""
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_places(item) for item in value]
    made = rf"{re.escape(tempfile.gettempdir())}/{tempfile.gettempprefix()}\w+"
    return re.sub(made, "/project", value) if isinstance(value, str) else value


# ------------------------------------------------------------------ images


def make_images() -> None:
    """Plays the sample and renders what its commands and pages show."""
    IMAGES.mkdir(exist_ok=True)
    with scratch_project() as folder:
        terminal(folder, "plan", ["plan"])
        terminal(folder, "preview", ["preview", "airlines", "--rows", "5"])
        page("report", said(folder, ["plan", "--format", "html"]), height=980)
        page("comment", comment(said(folder, ["plan", "--format", "markdown"])), height=640)
        terminal(folder, "apply", ["apply", "-y"])
    for scheme in SCHEMES:
        shoot(f"notebook-{scheme}", notebook(NOTEBOOKS / "01-first-ingestion.ipynb", scheme), scheme, height=1500)


@contextmanager
def scratch_project() -> Iterator[Path]:
    """A copy of the shipped specs and sample, without what limits and schedules would say of the day."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(ROOT / "ingestions", Path(name) / "ingestions")
        yield Path(name)


def said(folder: Path, words: list[str]) -> str:
    """What a command writes to stdout."""
    return _run(folder, words, {"NO_COLOR": "1"})[1]


def _run(folder: Path, words: list[str], more: dict[str, str]) -> tuple[int, str]:
    """A command's exit code, and its stdout."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": str(COLUMNS), **more}
    program = [sys.executable, str(ROOT / "plan_apply.py"), *words]
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.returncode, done.stdout


def terminal(folder: Path, name: str, words: list[str]) -> None:
    """Records a command on a real terminal and keeps what it left on the screen as an SVG."""
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme
    from rich.text import Text

    theme = TerminalTheme(
        (13, 17, 23), (230, 237, 243),
        [(72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34), (88, 166, 255), (188, 140, 255),
         (57, 197, 207), (177, 186, 196)],
    )  # fmt: skip
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold green"), ("autoloader " + " ".join(words), "bold")), no_wrap=True)
    console.print(Text.from_ansi(screen(folder, words)), no_wrap=True, crop=False)
    picture = console.export_svg(title="autoloader " + words[0], theme=theme)
    picture = re.sub(r"@font-face\s*{[^}]*}", "", picture)  # nothing is fetched from elsewhere
    picture = picture.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace")
    (IMAGES / f"{name}.svg").write_text(picture, encoding="utf-8")
    print(f"docs/images/{name}.svg", flush=True)


def screen(folder: Path, words: list[str]) -> str:
    """What a command leaves on a terminal of its own: rewritten lines as they were in the end."""
    import pty

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    program = [sys.executable, str(ROOT / "plan_apply.py"), *words]
    ours, theirs = pty.openpty()
    with subprocess.Popen(program, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not part:
                break
            parts.append(part)
        os.close(ours)
    if running.returncode != 0:
        raise SystemExit(f"autoloader {' '.join(words)} ended with {running.returncode}")
    return settled(b"".join(parts).decode("utf-8"))


def settled(text: str) -> str:
    """Terminal output with lines that were rewritten in place reduced to their last state."""
    lines: list[str] = [""]
    row = 0
    for part in re.split(r"(\r\n|\n|\r|\x1b\[\d*[A-K]|\x1b\[\?\d+[hl])", text):
        match part:
            case "\r\n" | "\n":
                row += 1
                if row == len(lines):
                    lines.append("")
            case "\r" | "\x1b[2K":
                lines[row] = ""
            case _ if moved := re.fullmatch(r"\x1b\[(\d*)A", part):
                row = max(0, row - int(moved[1] or 1))
            case _ if re.fullmatch(r"\x1b\[\d*[B-K]|\x1b\[\?\d+[hl]", part):
                continue
            case _:
                lines[row] += part
    return "\n".join(lines).rstrip()


def page(name: str, html: str, *, height: int) -> None:
    """A page in both colour schemes."""
    for scheme in SCHEMES:
        shoot(f"{name}-{scheme}", html, scheme, height=height)


def comment(markdown: str) -> str:
    """A pull request's comment as a code host shows it: the same Markdown, rendered, in its colours."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    return f"""<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark"><style>
:root{{--ink:#1f2328;--line:#d1d9e0;--page:#fff;--head:#f6f8fa}}
@media (prefers-color-scheme:dark){{:root{{--ink:#f0f6fc;--line:#3d444d;--page:#0d1117;--head:#151b23}}}}
body{{margin:16px;background:var(--page);color:var(--ink);font:14px/1.5 system-ui,"Noto Color Emoji",sans-serif}}
.box{{border:1px solid var(--line);border-radius:6px}}.who{{background:var(--head);padding:8px 16px;
border-bottom:1px solid var(--line);border-radius:6px 6px 0 0}}.body{{padding:4px 16px}}
table{{border-collapse:collapse}}th,td{{border:1px solid var(--line);padding:5px 10px;text-align:left}}
[style*=right]{{text-align:right}}code{{background:var(--head);padding:.1em .3em;border-radius:4px;font-size:88%}}
</style><div class="box"><div class="who"><b>github-actions</b> bot commented</div>
<div class="body">{body}</div></div>"""


def notebook(path: Path, scheme: str) -> str:
    """A stored notebook as JupyterLab shows it."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="lab", theme=scheme, mathjax_url="", require_js_url="", jquery_url="")
    html: str = exporter.from_filename(str(path))[0]
    return re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def shoot(name: str, html: str, scheme: str, *, height: int, width: int = 1000) -> None:
    """Renders a page in Chromium and keeps the picture."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("Chromium is needed for pictures of pages.")
    with tempfile.TemporaryDirectory() as profile:
        source = Path(profile) / "page.html"
        source.write_text(html, encoding="utf-8")
        subprocess.run(
            [
                browser,
                *CHROMIUM_FLAGS,
                f"--user-data-dir={profile}/data",
                f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}",
                f"--window-size={width},{height}",
                f"--screenshot={IMAGES / name}.png",
                source.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
    print(f"docs/images/{name}.png", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
