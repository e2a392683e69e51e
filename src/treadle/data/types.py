"""What a dataset version is, and which part of it a model was made of."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

WEIGHT = "treadle_weight"
"""The column of a slice that says how much each row counts, where newer rows count for more."""


class FileEntry(msgspec.Struct, frozen=True, order=True):
    """A file of a version.

    Attributes:
        path: Where it lies within the dataset, with forward slashes.
        size: In bytes.
        digest: BLAKE3 of its bytes.
        parquet: BLAKE3 of its rows as Parquet, where the file itself is CSV; empty otherwise.
    """

    path: str
    size: int
    digest: str
    parquet: str = ""


class Column(msgspec.Struct, frozen=True):
    """A column of a dataset: its name and its SQL type."""

    name: str
    type: str


class Source(msgspec.Struct, frozen=True):
    """Something that a version was made of, or by.

    Attributes:
        kind: What it is: ``version``, ``run``, ``job``, ``import``, ``table``.
        id: Which: a reference such as ``flights@v3``, a run's identifier, a URL.
        detail: What was done, such as the step's command; empty where nobody said.
    """

    kind: str
    id: str
    detail: str = ""


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What a dataset held at some moment; never changes.

    Attributes:
        dataset: The dataset's name.
        number: Counts the dataset's versions from 1, over all branches.
        digest: Identifies the content: the same content has the same digest.
        created_at: When it was made.
        rows: How many rows all files have.
        bytes: How many bytes all files have.
        columns: The columns.
        files: The files of a version that is a table; other versions have a tree only.
        actor: Who made it.
        commit_id: The digest of the commit; empty for versions that older Treadles made.
        tree: The digest of the tree's root page; empty for versions that older Treadles made.
        count: How many paths the tree lists.
        branch: The branch that it was made on.
        parents: The commits that it follows: one, two after a merge, none at the beginning.
        message: Why it was made.
        origin: What it was made of, or by.
        deleted_at: When it was deleted; None if it wasn't.
        deleted_by: Who deleted it.
        deleted_reason: Why.
        freed_at: When what it had was given up to be collected; it can be restored until then.
    """

    dataset: str
    number: int
    digest: str
    created_at: datetime
    rows: int
    bytes: int
    columns: tuple[Column, ...]
    files: tuple[FileEntry, ...]
    actor: str
    commit_id: str = ""
    tree: str = ""
    count: int = 0
    branch: str = ""
    parents: tuple[str, ...] = ()
    message: str = ""
    origin: tuple[Source, ...] = ()
    deleted_at: datetime | None = None
    deleted_by: str = ""
    deleted_reason: str = ""
    freed_at: datetime | None = None

    @property
    def ref(self) -> str:
        """How people write it: ``flights@v3``."""
        return f"{self.dataset}@v{self.number}"

    @property
    def file_count(self) -> int:
        """How many files it has, of a table or in its tree."""
        return self.count or len(self.files)


class Roles(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which columns cut and order a slice; see ``[data.NAME]`` in ``treadle.toml``.

    Attributes:
        time: When a row happened.
        key: What names a row.
        label: What is predicted.
        label_time: When the label became known; the row's own time when None.
    """

    time: str | None = None
    key: str | None = None
    label: str | None = None
    label_time: str | None = None


class SliceSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a dataset version: rows of a stretch of time whose labels were known by some moment.

    Attributes:
        dataset: The dataset's name.
        version: The version's digest.
        since: The first moment, inclusive; from the beginning when None.
        until: The last moment, exclusive; to the end when None.
        known_by: Only rows with a label that was known by then; all rows when None.
        roles: The columns by which it is cut; those of ``treadle.toml`` when None. A slice
            that was made has them written down, so that it can be made again later.
        half_life: The age, in seconds before the slice's newest row, at which a row counts for half: the
            slice has a column ``treadle_weight`` then, which is 1 for the newest row; none when None.
    """

    dataset: str
    version: str
    since: datetime | None = None
    until: datetime | None = None
    known_by: datetime | None = None
    roles: Roles | None = None
    half_life: float | None = None


class DataInput(msgspec.Struct, frozen=True, kw_only=True):
    """Data that a model was made of or judged by.

    Attributes:
        role: What it was used for.
        spec: Which rows.
        number: The version's number, for people.
        digest: BLAKE3 of the narrowest spec that cuts the same rows: identifies the content.
        rows: How many.
    """

    role: Literal["train", "holdout", "input"]
    spec: SliceSpec
    number: int
    digest: str
    rows: int
