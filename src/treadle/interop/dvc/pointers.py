"""Reading ``.dvc``, ``dvc.lock`` and ``.dir``: all of it, or an error that names file and field.

The formats are those that DVC 2 and 3 write (https://dvc.org/doc/user-guide/project-structure).
"""

from __future__ import annotations

import importlib
import posixpath
import re
from typing import Any

import msgspec

from treadle.data.types import Source
from treadle.interop.dvc.types import Member, Output
from treadle.kernel.errors import InvalidInput, MissingExtra

_MD5 = re.compile(r"[0-9a-f]{32}")
_LARGEST = 64 << 20
_OTHER_KINDS = ("etag", "checksum", "version_id", "files")
LOCK, PIPELINE, SUFFIX = "dvc.lock", "dvc.yaml", ".dvc"


def is_pointer(path: str) -> bool:
    """Whether a path of a repository is one that DVC writes pointers at."""
    parts = path.split("/")
    name = parts[-1]
    return ".dvc" not in parts and (name == LOCK or (name.endswith(SUFFIX) and name != SUFFIX))


def read_pointer(path: str, text: bytes) -> list[Output]:
    """What a ``.dvc`` file tracks.

    Args:
        path: Where it lies within the repository.
        text: Its bytes.

    Raises:
        InvalidInput: If it can't be used: names the field.
        MissingExtra: If YAML can't be read here.
    """
    found = load_yaml(path, text)
    base = _below(path, "wdir", posixpath.dirname(path), found.get("wdir", "."))
    made_of = tuple(
        source for at, dep in enumerate(_rows(path, found, "deps")) for source in _dependency(path, at, dep)
    )
    if command := found.get("cmd"):
        made_of = (Source("dvc-stage", path, _text(path, "cmd", command)), *made_of)
    outs = _rows(path, found, "outs")
    if not outs:
        raise _broken(path, "outs", "it names no output")
    return [
        one
        for at, out in enumerate(outs)
        if (one := _output(path, f"outs[{at}]", base, out, made_of)) is not None
    ]


def read_lock(path: str, text: bytes, pipeline: bytes | None = None) -> list[Output]:
    """What the stages of a ``dvc.lock`` made.

    Args:
        path: Where it lies within the repository.
        text: Its bytes.
        pipeline: The ``dvc.yaml`` beside it, which says where a stage's folder is another one.

    Raises:
        InvalidInput: If it can't be used: names the field.
        MissingExtra: If YAML can't be read here.
    """
    found = load_yaml(path, text)
    if not found:
        return []
    schema = found.get("schema")
    if schema != "2.0":
        raise InvalidInput(
            f"its schema is {schema!r}, and 2.0 can be read",
            where=f"{path}: schema",
            fix="let DVC 2.0 or newer write it: dvc commit",
        )
    folders = _folders(path, pipeline)
    outputs = []
    for name, raw in _table(path, "stages", found.get("stages", {})).items():
        field = f"stages.{name}"
        stage = _table(path, field, raw)
        base = _below(path, field, posixpath.dirname(path), folders.get(str(name).partition("@")[0], "."))
        command = stage.get("cmd", "")
        told = " && ".join(map(str, command)) if isinstance(command, list) else str(command)
        made_of = [Source("dvc-stage", f"{path}:{name}", told)]
        for at, dep in enumerate(_rows(path, stage, "deps", field)):
            made_of.append(_used(path, f"{field}.deps[{at}]", base, dep))
        for at, out in enumerate(_rows(path, stage, "outs", field)):
            output = _output(path, f"{field}.outs[{at}]", base, out, tuple(made_of))
            if output is not None:
                outputs.append(output)
    return outputs


def read_folder(name: str, body: bytes, *, where: str) -> list[Member]:
    """The files of a folder, sorted by path.

    Args:
        name: What names the list in the cache.
        body: The list.
        where: The pointer.

    Raises:
        InvalidInput: If it can't be used.
    """
    place = f"{where}: {name}"
    try:
        rows = msgspec.json.decode(body, type=list[dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _broken(place, "", f"it is no list of files: {error}") from None
    members: dict[str, Member] = {}
    for at, row in enumerate(rows):
        path = _text(place, f"[{at}].relpath", row.get("relpath"))
        if path != _inside(place, f"[{at}].relpath", path) or path == ".":
            raise _broken(place, f"[{at}].relpath", f"{path!r} is no plain path within the folder")
        md5 = _text(place, f"[{at}].md5", row.get("md5"))
        if not _MD5.fullmatch(md5):
            raise _broken(place, f"[{at}].md5", f"{md5[:80]!r} is no MD5")
        if path in members:
            raise _broken(place, f"[{at}].relpath", f"{path!r} is there twice")
        members[path] = Member(path, md5)
    return sorted(members.values(), key=lambda one: one.path)


def load_yaml(path: str, text: bytes) -> dict[str, Any]:
    """A table out of a YAML file.

    Raises:
        InvalidInput: If it is none.
        MissingExtra: If YAML can't be read here.
    """
    if len(text) > _LARGEST:
        raise _broken(path, "", f"it has {len(text):,} bytes")
    yaml = _library()
    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _broken(path, "", f"it is no YAML: {' '.join(str(error).split())}") from None
    return _table(path, "", {} if found is None else found)


def dump_yaml(value: dict[str, Any]) -> bytes:
    """A table as YAML, in its own order."""
    text: str = _library().safe_dump(value, sort_keys=False, allow_unicode=True)
    return text.encode()


# ── within ───────────────────────────────────────────────────────────────


def _library() -> Any:
    try:
        return importlib.import_module("yaml")
    except ImportError:
        raise MissingExtra(
            "reading a DVC repository needs PyYAML", fix="pip install 'treadle[platform]'"
        ) from None


def _output(path: str, field: str, base: str, raw: object, made_of: tuple[Source, ...]) -> Output | None:
    """An output; None for one that DVC doesn't keep or that has no content yet."""
    out = _table(path, field, raw)
    if out.get("cache") is False:
        return None
    other = [key for key in _OTHER_KINDS if key in out]
    kind = out.get("hash", "md5")
    if kind != "md5" or (other and "md5" not in out):
        what = repr(kind) if kind != "md5" else f"{other[0]!r}"
        raise InvalidInput(
            f"its content is named by {what}; only MD5 can be read",
            where=f"{path}: {field}",
            fix="bring it under DVC's cache: dvc add, or dvc import-url without --no-download",
        )
    if "md5" not in out:
        return None
    name = _text(path, f"{field}.md5", out["md5"])
    md5, _, ending = name.partition(".")
    if not _MD5.fullmatch(md5) or ending not in {"", "dir"}:
        raise _broken(path, f"{field}.md5", f"{name[:80]!r} is no MD5")
    return Output(
        path=_below(path, f"{field}.path", base, out.get("path")),
        md5=md5,
        folder=ending == "dir",
        size=_count(path, f"{field}.size", out.get("size")),
        count=_count(path, f"{field}.nfiles", out.get("nfiles")),
        executable=out.get("isexec") is True,
        legacy="hash" not in out,
        where=f"{path}: {field}",
        made_of=made_of,
    )


def _dependency(path: str, at: int, raw: object) -> list[Source]:
    """Where imported data comes from; of other dependencies, the path."""
    dep = _table(path, f"deps[{at}]", raw)
    repo = dep.get("repo")
    if repo is not None:
        table = _table(path, f"deps[{at}].repo", repo)
        rev = table.get("rev_lock") or table.get("rev") or ""
        return [Source("dvc-import", f"{table.get('url', '')}@{rev}", str(dep.get("path", "")))]
    return [Source("dvc-import", str(dep.get("path", "")), str(dep.get("md5") or dep.get("etag") or ""))]


def _used(path: str, field: str, base: str, raw: object) -> Source:
    dep = _table(path, field, raw)
    given = _text(path, f"{field}.path", dep.get("path"))
    where = given if "://" in given or given.startswith("/") else posixpath.normpath(f"{base}/{given}")
    return Source("dvc-dep", where.removeprefix("./"), str(dep.get("md5", "")))


def _folders(path: str, pipeline: bytes | None) -> dict[str, str]:
    """The folders of stages that have one of their own; a ``dvc.yaml`` that can't be read says none."""
    if pipeline is None:
        return {}
    place = posixpath.join(posixpath.dirname(path), PIPELINE)
    stages = _table(place, "stages", load_yaml(place, pipeline).get("stages") or {})
    found = {}
    for name, raw in stages.items():
        stage = raw.get("do", raw) if isinstance(raw, dict) else {}
        folder = stage.get("wdir") if isinstance(stage, dict) else None
        if isinstance(folder, str):
            if "${" in folder:
                raise InvalidInput(
                    f"the stage's folder is a template: {folder!r}",
                    where=f"{place}: stages.{name}.wdir",
                    fix="write it out",
                )
            found[str(name)] = folder
    return found


def _below(path: str, field: str, base: str, given: object) -> str:
    """A path that stands in a pointer, as one of the repository."""
    text = _text(path, field, given)
    if "://" in text or text.startswith("/") or re.match(r"[A-Za-z]:[\\/]", text):
        raise _broken(path, field, f"{text!r} lies outside of the repository")
    return _inside(path, field, posixpath.join(base, text) if base else text)


def _inside(path: str, field: str, text: str) -> str:
    whole = posixpath.normpath(text)
    if whole == ".." or whole.startswith(("../", "/")) or "\0" in whole or not _is_utf8(whole):
        raise _broken(path, field, f"{text!r} lies outside of the repository")
    if whole.split("/")[0] in {".git", ".dvc"}:
        raise _broken(path, field, f"{text!r} belongs to Git or DVC itself")
    return whole


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _table(path: str, field: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _broken(path, field, "a table is expected")
    return value


def _rows(path: str, table: dict[str, Any], key: str, field: str = "") -> list[Any]:
    value = table.get(key) or []
    if not isinstance(value, list):
        raise _broken(path, f"{field}.{key}".lstrip("."), "a list is expected")
    return value


def _text(path: str, field: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _broken(path, field, f"a text is expected, not {str(value)[:80]!r}")
    return value


def _count(path: str, field: str, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _broken(path, field, f"a count is expected, not {str(value)[:80]!r}")
    return value


def _broken(path: str, field: str, why: str) -> InvalidInput:
    where = f"{path}: {field}" if field else path
    return InvalidInput(why, where=where, fix="restore it from Git, or let DVC write it again: dvc commit")
