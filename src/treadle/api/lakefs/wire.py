"""What lakeFS's clients send and read; fields and their meaning are those of lakeFS's OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Failure(msgspec.Struct, frozen=True):
    """An error."""

    message: str


class Pagination(msgspec.Struct, frozen=True):
    """Where the next page begins."""

    has_more: bool
    next_offset: str
    results: int
    max_per_page: int


class Listing(msgspec.Struct, frozen=True):
    """A page of anything."""

    pagination: Pagination
    results: list[Any]


class RepositoryOut(msgspec.Struct, frozen=True):
    """A dataset, as a repository."""

    id: str
    creation_date: int
    storage_namespace: str
    default_branch: str = "main"
    storage_id: str = ""
    read_only: bool = False


class RepositoryIn(msgspec.Struct, frozen=True):
    """A repository that shall be; where lakeFS would keep it doesn't matter here."""

    name: str
    storage_namespace: str = ""
    default_branch: str = "main"
    sample_data: bool = False
    read_only: bool = False


class RefOut(msgspec.Struct, frozen=True):
    """A branch or a tag."""

    id: str
    commit_id: str


class CommitOut(msgspec.Struct, frozen=True):
    """A version."""

    id: str
    parents: tuple[str, ...]
    committer: str
    message: str
    creation_date: int
    meta_range_id: str
    metadata: dict[str, str]
    generation: int
    version: int = 1


class StatsOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """An object, or a common prefix of several."""

    path: str
    path_type: Literal["object", "common_prefix"]
    physical_address: str
    checksum: str
    mtime: int
    size_bytes: int | None = None
    metadata: dict[str, str] | None = None
    content_type: str | None = None


class DiffOut(msgspec.Struct, frozen=True):
    """A path at which two versions differ."""

    type: Literal["added", "removed", "changed", "conflict", "prefix_changed"]
    path: str
    path_type: Literal["object", "common_prefix"]
    size_bytes: int


class BranchIn(msgspec.Struct, frozen=True):
    """A branch that shall be."""

    name: str
    source: str
    hidden: bool = False


class TagIn(msgspec.Struct, frozen=True):
    """A tag that shall be."""

    id: str
    ref: str
    force: bool = False


class CommitIn(msgspec.Struct, frozen=True):
    """A commit that shall be."""

    message: str = ""
    metadata: dict[str, str] | None = None
    date: int | None = None
    allow_empty: bool = False


class MergeIn(msgspec.Struct, frozen=True):
    """How to merge."""

    message: str = ""
    metadata: dict[str, str] | None = None
    strategy: str = ""
    force: bool = False
    allow_empty: bool = False
    squash_merge: bool = False


class MergeOut(msgspec.Struct, frozen=True):
    """What a merge came to."""

    reference: str


class BaseOut(msgspec.Struct, frozen=True):
    """Where two lines of versions met last."""

    source_commit_id: str
    destination_commit_id: str
    base_commit_id: str


class ResetIn(msgspec.Struct, frozen=True):
    """What of a branch's uncommitted changes is forgotten."""

    type: Literal["object", "common_prefix", "reset"]
    path: str = ""


class Overrides(msgspec.Struct, frozen=True):
    """What a commit says instead of what it would."""

    message: str = ""
    metadata: dict[str, str] | None = None


class RevertIn(msgspec.Struct, frozen=True):
    """What is taken back."""

    ref: str
    parent_number: int = 0
    commit_overrides: Overrides | None = None


class CherryPickIn(msgspec.Struct, frozen=True):
    """What is taken from another line."""

    ref: str
    parent_number: int | None = None
    commit_overrides: Overrides | None = None


class CopyIn(msgspec.Struct, frozen=True):
    """What is copied."""

    src_path: str
    src_ref: str = ""


class PathsIn(msgspec.Struct, frozen=True):
    """Which objects go."""

    paths: list[str]


class PathFailure(msgspec.Struct, frozen=True):
    """Why one of several couldn't be done."""

    status_code: int
    message: str
    path: str


class FailuresOut(msgspec.Struct, frozen=True):
    """Which of several couldn't be done."""

    errors: list[PathFailure]


class RuleOut(msgspec.Struct, frozen=True):
    """A protected branch."""

    pattern: str


class UserOut(msgspec.Struct, frozen=True):
    """Whoever asks."""

    id: str
    creation_date: int
    friendly_name: str


class CurrentUserOut(msgspec.Struct, frozen=True):
    """Whoever asks."""

    user: UserOut


class VersionOut(msgspec.Struct, frozen=True):
    """Which lakeFS this answers like."""

    version: str
    version_context: str
    latest_version: str
    upgrade_recommended: bool = False
    upgrade_url: str = ""


class StorageOut(
    msgspec.Struct, frozen=True, rename={"blockstore_regex": "blockstore_namespace_ValidityRegex"}
):
    """How objects are kept: here, and reached through this server only."""

    blockstore_type: str = "local"
    blockstore_namespace_example: str = "local://anything"
    blockstore_regex: str = r"^[a-z0-9]+://.*$"
    default_namespace_prefix: str = "local://treadle"
    pre_sign_support: bool = False
    pre_sign_support_ui: bool = False
    import_support: bool = False
    import_validity_regex: str = "^$"
    pre_sign_multipart_upload: bool = False
    blockstore_id: str = ""
    blockstore_description: str = "Treadle"


class ConfigOut(msgspec.Struct, frozen=True):
    """What a client should know of the server."""

    version_config: VersionOut
    storage_config: StorageOut
    storage_config_list: tuple[StorageOut, ...] = ()


class SetupOut(msgspec.Struct, frozen=True):
    """Whether the server was set up: always."""

    state: str = "initialized"
    comm_prefs_missing: bool = False
    lakefs_version: str = ""


class Properties(msgspec.Struct, frozen=True):
    """How an object is stored."""

    storage_class: str = ""
