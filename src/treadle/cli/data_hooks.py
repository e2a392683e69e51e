"""``treadle data install-hooks``: Git brings the data with the code, and sends it before the code."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import msgspec

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.kernel.errors import Conflict, NotFound
from treadle.kernel.files import replacing, storage_errors

_MARK = "# Made by `treadle data install-hooks`"
_HOOK = """#!/bin/sh
{mark}; `treadle data install-hooks --remove` takes it away.
# {what}
{when}
cd {folder} && [ -f treadle.toml ] || exit 0
[ -n "$(git ls-files -- '*.treadle' | head -n 1)" ] || exit 0
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
if [ -x {python} ]; then exec {python} -m treadle.cli.main {command} </dev/null; fi
command -v treadle >/dev/null || exit 0
exec treadle {command} </dev/null
"""
# The hook's name: what it does, when it does nothing, and the command that it runs.
_HOOKS = {
    "post-checkout": (
        "Brings the data of the commit that was checked out.",
        '[ "$3" = 1 ] || exit 0',
        "data checkout",
    ),
    "pre-push": (
        "Sends the data that the pointers name before Git sends these; `git push --no-verify` goes without.",
        "grep -q '^ *\\[ *remotes *\\.' {folder}/treadle.toml 2>/dev/null || exit 0",
        "data push",
    ),
}


class Hooks(msgspec.Struct, frozen=True):
    """What became of the hooks.

    Attributes:
        folder: Where they are.
        installed: Which there are now.
        removed: Which there were.
    """

    folder: str
    installed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@click.command("install-hooks", short_help="Let Git bring and send the data")
@click.option("--remove", is_flag=True, help="Take them away again.")
@json_option
@pass_app
def install_hooks(app: App, remove: bool) -> None:
    """Let Git run `treadle data checkout` after a checkout, and `treadle data push` before a push.

    Data is pushed only if the project has a remote. A hook that somebody else made is never touched.
    """
    folder, inner = hooks_folder(app.root)
    found = remove_hooks(folder) if remove else make_hooks(folder, inner)
    app.answer(found, _show)


def hooks_folder(root: Path) -> tuple[Path, str]:
    """The folder of a repository's hooks, and where the project lies in the repository.

    Raises:
        NotFound: If the project lies in no repository, or there is no Git.
    """
    command = ["git", "-C", str(root), "rev-parse", "--git-path", "hooks", "--show-prefix"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        raise NotFound("git can't be run", fix="install it") from error
    if done.returncode:
        raise NotFound("the project lies in no Git repository", where=str(root), fix="git init")
    folder, prefix = (os.fsdecode(line) for line in done.stdout.split(b"\n")[:2])
    return (root / folder).resolve(), prefix.rstrip("/") or "."


def make_hooks(folder: Path, inner: str) -> Hooks:
    """Writes the hooks: all of them or none.

    Args:
        folder: The folder of hooks.
        inner: Where the project lies in the repository.

    Raises:
        Conflict: If somebody else made one.
        StorageError: If they can't be written.
    """
    foreign = [name for name in _HOOKS if (folder / name).exists() and not _is_ours(folder / name)]
    if foreign:
        lines = " and ".join(f"`treadle {_HOOKS[name][2]}` to {name}" for name in foreign)
        raise Conflict(
            f"there is a {' and a '.join(foreign)} hook already",
            where=str(folder),
            fix=f"add {lines} yourself",
        )
    for name, (what, when, command) in _HOOKS.items():
        text = _HOOK.format(
            mark=_MARK,
            what=what,
            when=when.format(folder=shlex.quote(inner)),
            folder=shlex.quote(inner),
            python=shlex.quote(sys.executable),
            command=command,
        )
        with replacing(folder / name) as temporary:
            temporary.write_text(text)
            temporary.chmod(0o755)
    return Hooks(str(folder), installed=tuple(_HOOKS))


def remove_hooks(folder: Path) -> Hooks:
    """Takes away the hooks that :func:`make_hooks` made.

    Raises:
        StorageError: If they can't be removed.
    """
    ours = tuple(name for name in _HOOKS if _is_ours(folder / name))
    for name in ours:
        with storage_errors(str(folder / name)):
            (folder / name).unlink()
    return Hooks(str(folder), removed=ours)


def _is_ours(path: Path) -> bool:
    try:
        return _MARK.encode() in path.read_bytes()
    except OSError:
        return False


def _show(found: Hooks) -> None:
    if found.installed:
        show.say(f"{' and '.join(found.installed)} are in {found.folder}")
        show.following("git checkout BRANCH", "git push")
    elif found.removed:
        show.say(f"{' and '.join(found.removed)} are removed from {found.folder}")
    else:
        show.say("there are no hooks of Treadle's", "dim")
