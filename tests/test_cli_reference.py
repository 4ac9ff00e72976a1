from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.cli import app
from bridge.cli_reference import _commands, _parameters, command_line_reference

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "command-line.md"


def test_the_committed_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == command_line_reference(), "run `make docs` and commit the page"


@pytest.mark.parametrize("environment", [{"COLUMNS": "20", "NO_COLOR": "1"}, {"COLUMNS": "300", "FORCE_COLOR": "1"}])
def test_the_terminal_has_no_say_in_it(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "bridge.cli_reference"]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, env={**os.environ, **environment}, check=True)
    assert done.stdout.decode() == PAGE.read_text(encoding="utf-8")


def test_every_option_that_the_commands_show_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[2:]:
        name = section.splitlines()[0].removeprefix("fdp-bridge ")
        command = [sys.executable, "-m", "bridge.cli", *name.split(), "--help"]
        if name in ("predict", "models export", "approve", "send"):  # the others have nothing that these have not
            shown = subprocess.run(
                command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}, check=True
            )
            options = set(re.findall(r"--[a-z-]+", shown.stdout)) - {"--help"}
            assert options == set(re.findall(r"^\| `(--[a-z-]+)`", section, flags=re.MULTILINE)), name


def test_every_line_has_a_meaning() -> None:
    rows = [row for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith("| `")]
    assert len(rows) > 25
    for row in rows:
        assert row.endswith(". |"), row


def test_no_help_text_loses_a_word_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets are markup to some terminals: `needs [planning]` became `needs .`."""
    for name, function in _commands(app, ""):
        with pytest.raises(SystemExit):
            app(args=[*name.split(), "--help"], terminal_width=200)
        shown = "".join(capsys.readouterr().out.split())
        for text in (function.__doc__ or "", *(parameter.help for parameter in _parameters(function))):
            assert "".join(text.split()) in shown, name
