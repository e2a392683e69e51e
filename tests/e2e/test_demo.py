"""The demo shows each command as it can be typed."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "flights" / "demo.sh"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--like", "run_1", "--sort", "-metrics.x", "--set", "a=0.5"], None),
        (["--reason", "the best of four"], "--reason 'the best of four'"),
        (["", "*", "$HOME", "a;b", "it's", 'say "x"', "~", "ü"], None),
    ],
)
def test_a_command_is_shown_as_it_can_be_copied(words: list[str], shown: str | None) -> None:
    defined = re.findall(r"^(?:quoted|run)\(\) \{.*?\}$", SCRIPT.read_text(), re.MULTILINE | re.DOTALL)
    assert len(defined) == 2
    script = "\n".join([*defined, 'run echo "$@"'])
    done = subprocess.run(["bash", "-c", script, "demo", *words], capture_output=True, text=True, check=True)
    line = re.sub(r"\x1b\[\d*m", "", done.stdout.splitlines()[0])
    assert shlex.split(line.removeprefix("$ ")) == ["echo", *words]
    assert line.removeprefix("$ echo").strip() == (shown or line.removeprefix("$ echo").strip())
