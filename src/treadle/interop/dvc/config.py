"""Reading ``.dvc/config`` and ``.dvc/config.local``: the cache and the remotes."""

from __future__ import annotations

import configparser
from pathlib import Path

from treadle.interop.dvc.types import DvcConfig, Remote
from treadle.kernel.errors import InvalidInput
from treadle.kernel.files import storage_errors
from treadle.kernel.names import unknown


def read_config(root: Path) -> DvcConfig:
    """What a repository's configuration says; the local file goes before the shared one.

    Raises:
        InvalidInput: If a file can't be read as one.
        StorageError: If it can't be read at all.
    """
    home = root / ".dvc"
    merged: dict[str, dict[str, str]] = {}
    for name in ("config", "config.local"):
        place = home / name
        if not place.is_file():
            continue
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        with storage_errors(str(place)):
            try:
                parser.read_string(place.read_bytes().decode())
            except (configparser.Error, UnicodeDecodeError) as error:
                raise InvalidInput(f"it can't be read: {error}", where=str(place)) from None
        for section in parser.sections():
            merged.setdefault(section.strip("'"), {}).update(parser[section])
    remotes = {
        name: Remote(
            name, _place(home, values.get("url", "")), {k: v for k, v in values.items() if k != "url"}
        )
        for section, values in merged.items()
        if section.startswith("remote ") and (name := section.removeprefix("remote ").strip('"'))
    }
    cache = merged.get("cache", {}).get("dir", "cache")
    return DvcConfig(_place(home, cache), remotes, merged.get("core", {}).get("remote", ""))


def choose(config: DvcConfig, name: str) -> Remote:
    """The remote of a name, or the default one when it is empty.

    Raises:
        NotFound: If there is none.
        InvalidInput: If it is one whose objects have other names.
    """
    wanted = name or config.default
    remote = config.remotes.get(wanted)
    if remote is None:
        raise unknown("DVC remote", wanted or "(default)", config.remotes)
    if remote.url.startswith("remote://"):
        base, _, rest = remote.url.removeprefix("remote://").partition("/")
        under = choose(config, base)
        return Remote(remote.name, f"{under.url.rstrip('/')}/{rest}", {**under.options, **remote.options})
    for key in ("version_aware", "worktree"):
        if remote.options.get(key, "").lower() in {"true", "1", "yes", "on"}:
            raise InvalidInput(
                f"the remote is kept by the cloud's versions ({key}); only objects by MD5 can be read",
                where=f"remote {remote.name!r}",
                fix="fetch it with DVC first (dvc fetch); the cache can be read",
            )
    return remote


def _place(home: Path, text: str) -> str:
    """A URL as it is; a path relative to the configuration, as it lies on this machine."""
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    return text if "://" in text else str((home / text).resolve())
