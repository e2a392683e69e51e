"""What may stand in the catalogue: names, aliases, stages, and where a version's files may be. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import get_args
from urllib.parse import unquote_plus, urlsplit

import msgspec

from treadle.experiment import check_key
from treadle.kernel.errors import InvalidInput
from treadle.registry.catalog_types import Stage

STAGES: tuple[Stage, ...] = get_args(Stage)
_ACTIVE = ("Staging", "Production")
_NAME_LENGTH, _ALIAS_LENGTH, _TAG_LENGTH, _TEXT_LENGTH, _URI_LENGTH = 256, 255, 100_000, 100_000, 2000
_ALIAS = re.compile(r"[\w-]+")
_NUMBERED = re.compile(r"v\d+", re.IGNORECASE)
PROMPT = "mlflow.prompt.is_prompt"
_STORES = frozenset(
    [
        "s3",
        "s3a",
        "gs",
        "r2",
        "b2",
        "abfs",
        "abfss",
        "wasb",
        "wasbs",
        "adl",
        "hdfs",
        "viewfs",
        "dbfs",
        "oss",
        "http",
        "https",
    ]
)
_INT32 = 2**31


class Source(msgspec.Struct, frozen=True):
    """What a version's source names.

    Attributes:
        kind: A run's files, another model, files that this server keeps, or files elsewhere.
        first: The run, or the model's name, or the logged model; for files kept here, the folder
            from the root, such as ``0/RUN/artifacts/model``.
        version: For another version: its number, stage or alias, as written.
    """

    kind: str
    first: str = ""
    version: str = ""


def check_model_name(name: str, where: str = "name") -> str:
    """A registered model's name itself, if it may be one.

    Raises:
        InvalidInput: If it is empty, over 256 characters, has ``/``, ``:`` or NUL, or is ``.`` or ``..``.
    """
    bad = not name.strip() or len(name) > _NAME_LENGTH or any(char in name for char in "/:\0")
    if bad or name in {".", ".."}:
        raise InvalidInput(
            f"{name!r:.80} can't be the name of a registered model",
            where=where,
            fix=f"use 1 to {_NAME_LENGTH} characters, without '/' and ':'",
        )
    return name


def check_alias(alias: str, *, new: bool) -> str:
    """An alias itself, if it may be one.

    Args:
        alias: The alias.
        new: Whether it is to be set: ``latest`` and ``v1`` are taken.

    Raises:
        InvalidInput: If it isn't.
    """
    if not _ALIAS.fullmatch(alias) or len(alias) > _ALIAS_LENGTH:
        raise InvalidInput(
            f"{alias!r:.80} can't be an alias",
            where="alias",
            fix=f"use 1 to {_ALIAS_LENGTH} letters, digits, '_' and '-'",
        )
    if new and (alias.lower() == "latest" or _NUMBERED.fullmatch(alias)):
        raise InvalidInput(
            f"{alias!r} is taken: it means a version by itself", where="alias", fix="choose another alias"
        )
    return alias


def check_version(text: str) -> int:
    """The number of a version.

    Raises:
        InvalidInput: If it isn't an integer.
    """
    number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,15}", text.strip()) else None
    if number is None:
        raise InvalidInput(f"{text!r:.80} is no version's number", where="version", fix="give an integer")
    return number if -_INT32 < number < _INT32 else -1


def check_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags themselves, without what Postgres can't keep.

    Raises:
        InvalidInput: If a name can't be one, or a value has over 100,000 characters.
    """
    for key, value in tags.items():
        check_key("tag", key)
        if len(value) > _TAG_LENGTH:
            raise InvalidInput(f"a tag has up to {_TAG_LENGTH:,} characters, not {len(value):,}", where=key)
    return {key: value.replace("\0", "") for key, value in tags.items()}


def refuse_prompt(tags: Mapping[str, str]) -> None:
    """Refuses what MLflow keeps as a prompt.

    Raises:
        InvalidInput: If the tags say that it is one.
    """
    if tags.get(PROMPT, "false").lower() != "false":
        raise InvalidInput("prompts are not offered yet", fix="keep them as artifacts of a run")


def check_text(text: str, where: str) -> str:
    """A description or a link, without what Postgres can't keep.

    Raises:
        InvalidInput: If it has over 100,000 characters.
    """
    if len(text) > _TEXT_LENGTH:
        raise InvalidInput(f"{where} has up to {_TEXT_LENGTH:,} characters, not {len(text):,}", where=where)
    return text.replace("\0", "")


def check_stage(stage: str) -> Stage:
    """A stage, however its letters are written.

    Raises:
        InvalidInput: If there is no such stage.
    """
    for known in STAGES:
        if known.lower() == stage.lower():
            return known
    raise InvalidInput(f"{stage!r:.80} is no stage", where="stage", fix=f"use {', '.join(STAGES)}")


def check_archiving(stage: Stage) -> None:
    """Checks that whoever is in a stage can be sent off to the archive.

    Raises:
        InvalidInput: If it isn't one of those in which a version is used.
    """
    if stage not in _ACTIVE:
        raise InvalidInput(
            f"nothing is archived by a version that goes to {stage!r}",
            where="archive_existing_versions",
            fix=f"archive for {' and '.join(_ACTIVE)} only",
        )


def read_source(source: str) -> Source:
    """What a version's source names; it is never a file of the server.

    Raises:
        InvalidInput: If it is a path or a ``file:``, leads upwards, or has a scheme that isn't known.
    """
    plain, path = _decoded(source)
    scheme = urlsplit(plain).scheme.lower()
    if scheme in {"runs", "models", "mlflow-artifacts"} and not path.startswith("/"):
        path = "/" + path
    elsewhere = _kept_here(path) or Source("elsewhere")
    if scheme in _STORES and elsewhere.kind == "elsewhere":
        return elsewhere
    if urlsplit(plain).query or urlsplit(plain).fragment:
        raise _refused(source)
    if scheme in _STORES:
        return elsewhere
    if scheme == "mlflow-artifacts":
        return Source("artifacts", posixpath.normpath(path).strip("/"))
    if scheme in {"runs", "models"} and not urlsplit(plain).netloc:
        first, _, rest = path.strip("/").partition("/")
        if scheme == "runs" and first and rest:
            return Source("run", first)
        if scheme == "models" and first:
            return _model(source, first, rest)
    raise _refused(source)


def _kept_here(path: str) -> Source | None:
    """Files that a server of artifacts keeps, named by the address of its API."""
    marker = "/api/2.0/mlflow-artifacts/artifacts/"
    clean = re.sub("/+", "/", path)
    return Source("artifacts", clean.partition(marker)[2].strip("/")) if marker in clean else None


def _model(source: str, first: str, rest: str) -> Source:
    if first.partition("@")[0] in {".", ".."}:
        raise _refused(source)
    if rest and "/" not in rest:
        return Source("version", first, rest)
    name, at, alias = first.rpartition("@")
    if not rest and at and name:
        return Source("alias", name, alias)
    if not rest and first.startswith("m-"):
        return Source("logged", first)
    raise _refused(source)


def _decoded(source: str) -> tuple[str, str]:
    """A source and its path, decoded as often as it goes.

    Raises:
        InvalidInput: If it leads upwards, or has characters that no URI has.
    """
    plain = source
    for _ in range(10):
        before, plain = plain, unquote_plus(plain)
        if before == plain:
            break
    else:
        raise _refused(source)
    try:
        parts = urlsplit(plain)
    except ValueError:
        raise _refused(source) from None
    hostile = any(ord(char) < 32 or char == "\\" for char in plain) or len(source) > _URI_LENGTH
    upwards = any(part in {".", ".."} for part in re.split("[/?#]", plain))
    if hostile or upwards:
        raise _refused(source)
    return plain, parts.path


def _refused(source: str) -> InvalidInput:
    return InvalidInput(
        f"Invalid model version source: {source!r:.200}",
        where="source",
        fix="use runs:/RUN/PATH, models:/NAME/VERSION, models:/m-ID, mlflow-artifacts:/PATH, or a store's"
        " URI such as s3://…; paths of the server, '.' and '..' are never followed",
    )
