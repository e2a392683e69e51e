"""What a commit says, and what branches and tags are."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from treadle.data.storage.packs import Pack
from treadle.data.types import Column, Source

FORMAT = 1
DEFAULT_BRANCH = "main"

RefKind = Literal["branch", "tag"]
GATES = ("schema", "volume", "values", "drift", "balance")
"""The data checks that a protected branch may require of a review."""


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """A version as it is written down beside its contents; its identifier is the BLAKE3 of its JSON.

    Attributes:
        format: Of the commit; this Treadle reads up to 1.
        dataset: The dataset.
        number: The version's number.
        tree: The digest of the tree's root page.
        digest: What identifies the content.
        pages: The packs that have the tree's pages.
        packs: The packs that have its small contents.
        parents: The commits that it follows.
        branch: The branch that it was made on.
        message: Why it was made.
        actor: Who made it.
        at: When.
        count: How many paths the tree lists.
        bytes: How many bytes they have.
        rows: How many rows they have, where they are a table.
        columns: The table's columns.
        origin: What it was made of, or by.
        stale: How many paths were changed or removed, at most, since somebody looked which of the packs
            are still needed.
    """

    format: int = FORMAT
    dataset: str
    number: int
    tree: str
    digest: str
    pages: tuple[Pack, ...]
    packs: tuple[Pack, ...]
    parents: tuple[str, ...]
    branch: str
    message: str
    actor: str
    at: datetime
    count: int
    bytes: int
    rows: int = 0
    columns: tuple[Column, ...] = ()
    origin: tuple[Source, ...] = ()
    stale: int = 0


class RefSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a branch is protected.

    Attributes:
        protected: Whether it moves by merges of approved reviews only.
        approvals: How many a review needs.
        checks: Which data checks must pass: ``schema``, ``volume``, ``values``, ``drift``, ``balance``.
    """

    protected: bool = False
    approvals: int = 0
    checks: tuple[str, ...] = ()


class Ref(msgspec.Struct, frozen=True, kw_only=True):
    """A branch or a tag.

    Attributes:
        dataset: The dataset.
        kind: Which of the two.
        name: Its name.
        number: The version that it stands at; None for a branch without one.
        changed_at: When it was moved last.
        actor: Who moved it.
        settings: How it is protected.
    """

    dataset: str
    kind: RefKind
    name: str
    number: int | None
    changed_at: datetime
    actor: str
    settings: RefSettings = RefSettings()


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that has, or will have, versions.

    Attributes:
        name: Its name.
        created_at: When it was made.
        actor: Who made it.
    """

    name: str
    created_at: datetime
    actor: str


class NewRef(msgspec.Struct, frozen=True, kw_only=True):
    """A branch or a tag that shall be.

    Attributes:
        name: Its name.
        at: The version, as ``v3``, a branch, a tag or a commit; the head of ``main`` when empty.
        actor: Who asks; filled in by the client.
    """

    name: str
    at: str = ""
    actor: str = "api"


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """How a branch shall be protected.

    Attributes:
        branch: Which.
        settings: How.
        actor: Who asks; filled in by the client.
    """

    branch: str
    settings: RefSettings
    actor: str = "api"
