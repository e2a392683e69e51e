"""What a path such as ``treadle://flights@v12/day=1/a.parquet`` names. No I/O."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import unquote

from treadle.kernel.errors import InvalidInput

PROTOCOL = "treadle"
_FIXED = re.compile(r"v[1-9]\d{0,15}|[0-9a-f]{7,64}|latest")


class Place(NamedTuple):
    """What a path names.

    Attributes:
        dataset: The dataset; empty for the list of all.
        ref: The version, as it was written; empty for the head of ``main``.
        path: Where within the version; empty for the whole.
    """

    dataset: str
    ref: str
    path: str

    @property
    def base(self) -> str:
        """The version as paths begin with it."""
        return f"{self.dataset}@{self.ref.replace('/', '%2F')}" if self.ref else self.dataset

    def of(self, path: str) -> str:
        """How another path of the same version is written."""
        return f"{self.base}/{path}" if path else self.base


def strip(path: str) -> str:
    """A path without its protocol and without slashes at its ends."""
    return path.removeprefix(f"{PROTOCOL}://").strip("/")


def needs_names(path: str) -> str:
    """The dataset whose branches and tags must be known to read a path; empty if none.

    A branch may have slashes in its name, so that only its name tells where the path begins.
    """
    first, _, rest = strip(path).partition("/")
    dataset, at, ref = first.partition("@")
    return dataset if at and rest and not _FIXED.fullmatch(ref) and "%2F" not in ref.upper() else ""


def read_place(path: str, names: Collection[str] = ()) -> Place:
    """Reads a path.

    Args:
        path: With or without its protocol. A slash in the name of a branch may be written ``%2F``.
        names: The branches and tags that there are; the longest that fits is meant.

    Raises:
        InvalidInput: If the version is missing after its ``@``.
    """
    bare = strip(path)
    first, _, rest = bare.partition("/")
    dataset, at, ref = first.partition("@")
    if not at:
        return Place(dataset, "", rest)
    if not ref:
        raise InvalidInput(f"{path!r} names no version after the @", fix=f"write {dataset}@v3/PATH")
    if "%" in ref:
        return Place(dataset, unquote(ref), rest)
    whole = bare[len(dataset) + 1 :]
    fitting = [one for one in names if "/" in one and f"{whole}/".startswith(f"{one}/")]
    if fitting and not _FIXED.fullmatch(ref):
        longest = max(fitting, key=len)
        return Place(dataset, longest, whole[len(longest) + 1 :])
    return Place(dataset, ref, rest)


def is_fixed(ref: str) -> bool:
    """Whether a reference is a version that never changes, and not a branch."""
    return _FIXED.fullmatch(ref) is not None
