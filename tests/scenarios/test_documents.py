"""`docs/scenarios.md`, typed in: each of its commands is run, and says what stands there.

Every section is a project of its own. A YAML block is the file that its first line names. In a console block a line
that begins with `$ ` is a command, what follows is its stdout (its stderr where that is all there is). Figures that
differ from run to run are compared by their kind. `pytest --update-golden` writes what the commands say now.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.playing import Player

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scenarios.md"
BLOCK = re.compile(r"^```(yaml|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHARED = " Uses the Spark session that was already active (local[2])."
"""What only a test says of the engine: all its commands share one Spark."""
KINDS = (
    (r"\d{8}T\d{6}Z-[0-9a-f]{8,12}", "RUN"),
    (r"\b[0-9a-f]{32}\b", "BATCH"),
    (r"\b\d{16,}\b", "SNAPSHOT"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?( ?UTC|Z|[+-]\d\d:?\d\d)?", "MOMENT"),
    (r"anew about [\d.]+ [KMG]?B", "anew about SIZE"),  # paths, of any length, are among what is stored
    (r"<?\$\d[\d.,]*(–<?[\d.,]*\d)?", "MONEY"),
    (r"(?<![\w.-])<?\d+[smhd](\d\d[smh])?(–<?\d+[smhd](\d\d[smh])?)?(?!\w)", "TIME"),
    (r"[+-]?\d+ %", "PERCENT"),
    (r"Engine: .*", "ENGINE"),
    (r" {2,}", "  "),
)


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)\n", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def alike(text: str) -> list[str]:
    for pattern, kind in KINDS:
        text = re.sub(pattern, kind, text)
    return [line.rstrip() for line in text.strip().splitlines()]


class Typist:
    """Types a section into a project."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.code = 0
        self._tick = 1_700_000_000

    def types(self, kind: str, block: str) -> str:
        """The block with what its commands say now."""
        if kind == "yaml":
            name = block.splitlines()[0].removeprefix("# ")
            self.player.folder.joinpath(name).write_text(block, "utf-8")
            return block
        commands = [line for line in block.splitlines() if line.startswith("$ ")]
        return "".join(f"{line}\n{self._says(line.removeprefix('$ '))}" for line in commands)

    def _says(self, command: str) -> str:
        if command == "echo $?":
            return f"{self.code}\n"
        if not command.startswith("autoloader "):
            subprocess.run(["bash", "-c", command], cwd=self.player.folder, check=True)
            self._date()
            return ""
        said = self.player.run(*shlex.split(command)[1:])
        self.code = said.code
        text = (said.out or said.err).replace(str(self.player.folder), "/project").replace(SHARED, "")
        return text.rstrip("\n") + "\n"

    def _date(self) -> None:
        """What was written just now gets a time of its own, the same on every day."""
        for path in sorted(self.player.folder.glob("sales/**/*.csv")):
            if path.stat().st_mtime > 1_750_000_000:
                self._tick += 60
                os.utime(path, (self._tick, self._tick))


@pytest.mark.slow
@pytest.mark.parametrize("title", sections())
def test_a_section_says_what_its_commands_say(
    title: str, player: Player, monkeypatch: pytest.MonkeyPatch, update_golden: bool
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    typist, text, now = Typist(player), sections()[title], ""
    at = 0
    for found in BLOCK.finditer(text):
        kind, block = found.groups()
        said = typist.types(kind, block)
        if not update_golden:
            assert alike(block) == alike(said), title
        now += text[at : found.start(2)] + (block if alike(block) == alike(said) else said)
        at = found.end(2)
    if update_golden:
        before, after = PAGE.read_text("utf-8").split(f"## {title}\n", 1)
        PAGE.write_text(f"{before}## {title}\n{now}{after.removeprefix(text[:at])}", "utf-8")


def test_there_are_ten_questions() -> None:
    assert [title.split(".")[0] for title in sections()] == [str(number) for number in range(1, 11)]
