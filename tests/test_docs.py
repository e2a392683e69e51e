"""The documents say what is so: commands parse, links lead somewhere, the first cycle runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from treadle.cli.app import App
from treadle.cli.main import treadle
from treadle.kernel.config import Config, parse_config
from treadle.kernel.config.load import _check_keys
from treadle.kernel.errors import TreadleError

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/*.md")],
    key=lambda page: str(page.relative_to(ROOT)),
)
_BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REQUIRED = {"project": {"name": "x"}, "data": {"x": {"path": "x"}}}
_TRAIN = {"command": "x", "data": "x", "features": ["x"]}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, _, text in _BLOCK.findall(page.read_text()) if language in languages]


def prose(page: Path) -> str:
    return _BLOCK.sub("", page.read_text())


# ── commands ─────────────────────────────────────────────────────────────


def commands(page: Path) -> Iterator[tuple[str, bool]]:
    """Every `treadle` command of a page, and whether it stands whole in a console block."""
    for text in blocks(page, "console"):
        for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
            for part in line.split("&&"):
                if part.strip().startswith("treadle "):
                    yield part.partition(" #")[0].strip(), True
    for found in re.findall(r"`(treadle [^`\n]+)`", prose(page)):
        yield found, False


COMMANDS = [(name(page), *found) for page in PAGES for found in commands(page)]


def parse(words: list[str], *, whole: bool) -> None:
    """Walks down to the verb as the command line does; a whole command is parsed to its last argument."""
    command: click.Command = treadle
    context = click.Context(treadle, info_name="treadle", obj=App())
    while isinstance(command, click.Group):
        known = {option for parameter in command.params for option in parameter.opts}
        while words and words[0] in known:
            words = words[2:]  # an option of a group, and its value
        if not words and not whole:
            return
        context = command.make_context(context.info_name, words, parent=context.parent, obj=App())
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        verb, found, words = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = click.Context(command, parent=context, info_name=verb)
    if whole:
        command.make_context(context.info_name, words, parent=context.parent, obj=App())
        return
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize(("page", "command", "whole"), COMMANDS)
def test_every_command_is_one(page: str, command: str, *, whole: bool) -> None:
    try:
        parse(shlex.split(command)[1:], whole=whole)
    except (TreadleError, click.UsageError) as error:
        # the pages on errors show a mistake on purpose, with its answer
        if f"$ {command}\nerror: " not in (ROOT / page).read_text():
            pytest.fail(f"{page}: {command}: {error}")


@pytest.mark.parametrize(
    "command", ["treadle rnus", "treadle run --plann", "treadle deploy rollbak", "treadle models show"]
)
def test_a_wrong_command_is_found(command: str) -> None:
    with pytest.raises((TreadleError, click.UsageError)):
        parse(shlex.split(command)[1:], whole=True)


# ── configuration and code ───────────────────────────────────────────────


def settings() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for text in blocks(page, "toml"):
            yield name(page), text


@pytest.mark.parametrize(
    ("page", "text"), [pytest.param(*found, id=f"{found[0]}-{i}") for i, found in enumerate(settings())]
)
def test_every_setting_is_one(page: str, text: str) -> None:
    found: dict[str, Any] = tomllib.loads(text)
    _check_keys(found, Config, (), text, page)
    train = {"train": {**_TRAIN, **found.pop("train")}} if "train" in found else {}
    msgspec.convert({**_REQUIRED, **found, **train}, Config)


def test_the_example_is_valid() -> None:
    parse_config((ROOT / "examples/flights/treadle.toml").read_text())


def test_python_compiles_and_type_checks(tmp_path: Path) -> None:
    files = []
    for page in PAGES:
        for number, text in enumerate(blocks(page, "python")):
            file = tmp_path / f"{re.sub(r'[^a-z]+', '_', name(page).lower())}_{number}.py"
            file.write_text(text)
            compile(text, name(page), "exec")
            files.append(str(file))
    assert files
    mypy = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", *files]  # with lint's cache
    done = subprocess.run(mypy, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# ── links and secrets ────────────────────────────────────────────────────


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_can_be_found_from_the_index() -> None:
    index = ROOT / "docs/README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - linked == {index}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_nothing_of_our_machines_stands_in_them(page: Path) -> None:
    assert not re.findall(
        r"/work/|/root/|/home/\w+|/tmp/|index-url|/simple/?\b|artifactory|nexus|pypi\.org", page.read_text()
    )


# ── the reference, and the first cycle ───────────────────────────────────


def test_the_reference_is_fresh() -> None:
    script = [sys.executable, "docs/reference/generate.py", "--check"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_first_cycle_goes_as_it_is_told(tmp_path: Path) -> None:
    page = ROOT / "docs/how-to/first-cycle.md"
    folder = tmp_path / "returns"
    folder.mkdir()
    for _, file, text in _BLOCK.findall(page.read_text()):
        if file:
            (folder / file).write_text(text)

    def do(*command: str) -> str:
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TREADLE_")}
        done = subprocess.run(
            command, cwd=folder, env=environment | {"PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert do("python", "make_data.py") in page.read_text()
    assert do("treadle", "init") in page.read_text()
    config = folder / "treadle.toml"
    changed = config.read_text()
    [setting] = blocks(page, "toml")
    for line in re.findall(r"^\w+ = .*$", setting, re.MULTILINE):
        key = line.partition(" ")[0]
        changed, count = re.subn(rf"^# {key} = .*$", line, changed, count=1, flags=re.MULTILINE)
        assert count == 1, f"treadle init writes no `# {key}` to be changed"
    config.write_text(changed)
    assert "Nothing was changed." in do("treadle", "run", "--plan")
    assert "returns/1 is in production" in do("treadle", "run")
    assert "returns/1" in do("treadle", "history")
