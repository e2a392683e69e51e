"""How versions are named and found, and what may name a branch. No I/O."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from treadle.data.branches.types import GATES, RefSettings
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean

_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}")
_NUMBER = re.compile(r"v([1-9]\d{0,15})")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_MOST_APPROVALS = 20
_TAKEN = ("latest", "head", "HEAD")


class Named(NamedTuple):
    """What a reference such as ``flights@v3`` names.

    Attributes:
        dataset: The dataset.
        kind: How the version is named: ``number``, ``commit`` (perhaps a prefix), ``name`` of a branch
            or a tag, or ``latest``.
        value: The number, the prefix or the name; empty for ``latest``.
    """

    dataset: str
    kind: Literal["number", "commit", "name", "latest"]
    value: str


def parse_ref(ref: str) -> Named:
    """Reads ``flights``, ``flights@latest``, ``flights@v3``, ``flights@BRANCH-OR-TAG`` or ``flights@COMMIT``.

    Raises:
        InvalidInput: If it is none of them.
    """
    dataset, at, version = ref.partition("@")
    if not at or version == "latest":
        return Named(dataset, "latest", "")
    if found := _NUMBER.fullmatch(version):
        return Named(dataset, "number", found[1])
    if _COMMIT.fullmatch(version):
        return Named(dataset, "commit", version)
    if _REF.fullmatch(version) and not version.isdigit():
        return Named(dataset, "name", version)
    raise InvalidInput(
        f"{ref!r} names no dataset version",
        fix=f"write {dataset or 'NAME'}, {dataset or 'NAME'}@latest, @v3, @BRANCH, @TAG or @COMMIT",
    )


def check_ref_name(kind: str, name: str) -> str:
    """The name itself, if it may name a branch or a tag.

    Raises:
        InvalidInput: If it has other characters than letters, digits, ``.``, ``_``, ``-`` and ``/``, a part
            that is empty or begins or ends with a dot, more than 200 characters, or would read as a
            version number or a commit.
    """
    parts = name.split("/")
    odd = any(not part or part.startswith((".", "-")) or part.endswith((".", ".lock")) for part in parts)
    if not _REF.fullmatch(name) or odd or ".." in name:
        raise InvalidInput(
            f"{name!r} can't be the name of a {kind}",
            fix="use letters, digits, '.', '_' and '-', with '/' between parts, such as exp/new-labels",
        )
    if name in _TAKEN or name.isdigit() or _NUMBER.fullmatch(name) or _COMMIT.fullmatch(name):
        raise InvalidInput(
            f"{name!r} would read as a version, not as a {kind}", fix="choose a name that is none"
        )
    return name


def check_settings(settings: RefSettings) -> RefSettings:
    """The settings themselves, if a branch may be protected like that.

    Raises:
        InvalidInput: If it needs a check that there isn't, or fewer than 0 or more than 20 approvals; or
            if it isn't protected and needs any.
    """
    for name in settings.checks:
        if name not in GATES:
            raise InvalidInput(f"there is no data check {name[:80]!r}", fix=did_you_mean(name[:80], GATES))
    if not 0 <= settings.approvals <= _MOST_APPROVALS:
        raise InvalidInput(
            f"a review can't need {settings.approvals} approvals", fix=f"ask for 0 to {_MOST_APPROVALS}"
        )
    if not settings.protected and (settings.approvals or settings.checks):
        raise InvalidInput(
            "approvals and checks are asked for, but the branch isn't protected", fix="set `protected` too"
        )
    return settings
