"""What may become of a version, what a version needs, and which one was in production when."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final

import msgspec

from treadle.kernel.config import Part
from treadle.kernel.errors import Conflict, InvalidInput, Refused
from treadle.kernel.ids import digest_bytes
from treadle.registry.catalog_types import Stage
from treadle.registry.types import ModelFile, ModelVersion, NewVersion, Status, Transition

MOVES: Final[dict[Status, tuple[Status, ...]]] = {
    "candidate": ("staging", "production", "refused", "archived"),
    "staging": ("production", "archived"),
    "production": ("deprecated",),
    "deprecated": ("production", "archived"),
    "refused": ("archived",),
    "archived": (),
}
"""Every change of status that there is; deprecated to production is a rollback."""

STAGE_OF: Final[dict[Status, Stage]] = {
    "candidate": "None",
    "staging": "Staging",
    "production": "Production",
    "deprecated": "Archived",
    "refused": "None",
    "archived": "Archived",
}
"""How MLflow's clients see each status."""


def stage_of(status: Status) -> Stage:
    """How MLflow's clients see a status; a team's own stages lie before production."""
    return STAGE_OF.get(status, "Staging")


STATUS_OF: Final[dict[Stage, Status]] = {
    "None": "candidate",
    "Staging": "staging",
    "Production": "production",
    "Archived": "archived",
}
"""Which status an MLflow client means by a stage."""

ALIASES: Final = ("production", "latest")
"""Aliases that mean a version by themselves."""

_NEEDED_FILES = ("model.onnx", "signature.json", "example.json")
PASSING = frozenset({"pass", "warn"})
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ALIAS = re.compile(r"[\w-]{1,255}")


def check_move(
    version: ModelVersion, after: Status, moves: Mapping[Status, tuple[Status, ...]] = MOVES
) -> None:
    """Refuses a change of status that isn't among those that there are.

    Raises:
        Conflict: With what can be done instead.
    """
    allowed = moves.get(version.status, ("archived",))  # a stage that was undeclared since
    if after in allowed:
        return
    if version.status == "production":
        fix = "promote another version; this one becomes deprecated then"
    else:
        fix = f"it can become: {', '.join(allowed)}" if allowed else "an archived version stays archived"
    raise Conflict(f"a version that is {version.status} can't become {after}", where=version.ref, fix=fix)


def check_outcome(version: ModelVersion, outcome: str, reason: str, *, override: bool) -> None:
    """Lets into production only what passed its gate, or what somebody answers for.

    Raises:
        Refused: If the outcome is neither ``pass`` nor ``warn``, and nobody overrides it.
        InvalidInput: If somebody overrides it and doesn't say why.
    """
    if outcome in PASSING:
        return
    if not override:
        raise Refused(
            f"the gate's outcome is {outcome}, and only a version that passed goes to production",
            where=version.ref,
            fix="look at its evaluations; if you answer for it all the same, "
            f"`treadle models approve {version.ref} --reason TEXT`",
        )
    if not reason.strip():
        raise InvalidInput("an override needs a reason", where=version.ref, fix="say why the gate is wrong")


def check_expected(version: ModelVersion, current: int | None, expect: int | None) -> None:
    """The compare of compare-and-swap: what is in production must be what the caller saw there.

    Args:
        version: Who is to go there.
        current: The number in production; None for none.
        expect: The number that the caller saw; 0 for none; None when it doesn't matter.

    Raises:
        Conflict: If they differ.
    """
    if expect is not None and (current or 0) != expect:
        now = f"version {current}" if current else "nothing"
        seen = f"version {expect}" if expect else "nothing"
        raise Conflict(
            f"{now} is in production by now, not {seen}",
            where=version.ref,
            fix="look at the history and decide again",
        )


OWN: Final[tuple[Part, ...]] = (
    "run", "recipe", "code", "environment", "data", "metrics", "evaluations", "signature", "example",
    "files", "profile", "serve",
)  # fmt: skip
"""What a version that Treadle makes has, unless ``[registry] require`` says otherwise."""

HOW: Final[dict[Part, str]] = {
    "run": "name the run that made it",
    "recipe": "let a cycle make it (`treadle run`)",
    "code": "train in a Git repository, with Treadle or MLflow's client noting the commit",
    "environment": "log the model with its requirements.txt or conda.yaml",
    "data": "log what the run read (`treadle.data`, `mlflow.log_input`)",
    "params": "log the run's parameters",
    "metrics": "log the run's metrics",
    "curves": "log the run's metrics",
    "evaluations": "let a cycle's gate judge it, or `treadle check --model`",
    "signature": "log the model with a signature",
    "example": "log the model with an example",
    "files": "log the model's files to this server",
    "profile": "let a cycle make it (`treadle run`)",
    "serve": "let a cycle make it (`treadle run`)",
    "licence": "set `licence` in [model] of treadle.toml, or the version's tag `treadle.licence`",
    "hardware": "set `hardware` in [model] of treadle.toml, or the version's tag `treadle.hardware`",
    "owner": "set `owner` in [model] of treadle.toml, or the version's tag `treadle.owner`",
    "description": "set `description` in [model] of treadle.toml, or register it with a description",
}
"""What to do about each part that is missing."""


def missing(new: NewVersion) -> tuple[Part, ...]:
    """The parts of a version's passport that aren't known, in the order of :data:`HOW`."""
    known: dict[Part, object] = {
        "data": new.data or new.used,
        "curves": new.curves,
        "signature": new.interface or (new.signature and new.signature.inputs),
        "example": new.example or any(file.path == "example.json" for file in new.files),
    }
    return tuple(part for part in HOW if not known.get(part, getattr(new, part, None)))


def lacks(new: NewVersion, required: Iterable[Part]) -> list[str]:
    """What a version lacks of what it must have, each with what to do about it."""
    absent = missing(new)
    return [f"{part} is missing ({HOW[part]})" for part in HOW if part in absent and part in set(required)]


def problems(new: NewVersion, required: Sequence[Part] = OWN) -> list[str]:
    """Everything that keeps what a cycle made from being registered, as far as it can be seen here."""
    found = lacks(new, required)
    found += [f"metric {name} is {value}" for name, value in new.metrics.items() if not math.isfinite(value)]
    names = [field.name for field in new.signature.inputs] if new.signature else []
    found += [f"input {name} stands twice in the signature" for name in _repeated(names)]
    return found + file_problems(new.files, _NEEDED_FILES if "files" in required else ())


def file_problems(files: Iterable[ModelFile], needed: Iterable[str]) -> list[str]:
    """What is wrong with a model's files, as far as their names and digests tell."""
    paths = [file.path for file in files]
    found = [f"file {name} is missing" for name in needed if name not in paths]
    found += [f"file {path} stands twice" for path in _repeated(paths)]
    for file in files:
        pure = PurePosixPath(file.path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in file.path or str(pure) != file.path:
            found.append(f"file {file.path!r} does not lie in the model's folder")
        if not _DIGEST.fullmatch(file.digest):
            found.append(f"file {file.path} has no BLAKE3 digest")
    return found


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def version_id(new: NewVersion) -> str:
    """BLAKE3 over the recipe and the files: what the version is, whoever registers it."""
    return digest_bytes(msgspec.json.encode((new.recipe, sorted(new.files))))


def in_production(history: Iterable[Transition], at: datetime) -> list[int]:
    """The numbers that were in production at a moment, whoever came last at the end.

    Treadle has one there; MLflow's clients may have put others beside it.

    Args:
        history: A model's transitions in the order in which they were made. That order
            counts, not their times: in a replay of the past, time can go back.
        at: The moment; a transition counts from its own moment on.
    """
    current: dict[int, None] = {}
    for transition in history:
        if transition.at <= at:
            current.pop(transition.number, None)
            if transition.after == "production":
                current[transition.number] = None
    return list(current)


def parse_ref(ref: str) -> tuple[str, int | str | None]:
    """Takes ``flights/3``, ``flights@champion`` or ``flights`` apart.

    Returns:
        The model, and the number, the alias, or None.

    Raises:
        InvalidInput: If it is none of these.
    """
    if "/" in ref:
        model, _, number = ref.partition("/")
        if model and number.isascii() and number.isdigit() and len(number) < 10:  # fits a column
            return model, int(number)
    elif "@" in ref:
        model, _, alias = ref.rpartition("@")
        if model and _ALIAS.fullmatch(alias):
            return model, alias
    elif ref:
        return ref, None
    raise InvalidInput(
        f"{ref!r:.80} names no version",
        fix="write MODEL/NUMBER, MODEL@production, MODEL@latest, MODEL@ALIAS or MODEL",
    )
