"""What is asked of remotes, and what they answer."""

from __future__ import annotations

import msgspec

from treadle.data.work.types import CheckedOut


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """Versions that shall be pushed to a remote.

    Attributes:
        refs: Which: paths with a pointer, or references such as ``flights@main``; what all pointers
            of the project name when empty, or every dataset's ``main`` if there is none.
        remote: The remote; the default one when empty.
        depth: So many versions of each line; all when 0.
        limit: Bytes a second at most, such as ``50MB/s``; as fast as it goes when empty.
    """

    refs: tuple[str, ...] = ()
    remote: str = ""
    depth: int = 0
    limit: str = ""


class PushedVersions(msgspec.Struct, frozen=True, kw_only=True):
    """What was pushed.

    Attributes:
        remote: The remote.
        url: Where it is.
        versions: The versions that are new there.
        there: How many were there already.
        branches: The branches and tags that were told of.
        blobs: How many blobs were sent.
        bytes: How many bytes they have.
    """

    remote: str
    url: str
    versions: tuple[str, ...]
    there: int
    branches: tuple[str, ...]
    blobs: int
    bytes: int


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """Versions that shall be brought from a remote.

    Attributes:
        refs: Which: paths with a pointer, or below one; or references such as ``flights@main``,
            ``flights@v3``, ``flights@COMMIT``; what all pointers of the project name when empty.
        remote: The remote; the default one when empty.
        depth: So many versions of each line are made known; all when 0.
        contents: Whether the contents are brought; else they are read from the remote when needed.
        limit: Bytes a second at most, such as ``50MB/s``; as fast as it goes when empty.
        actor: Who asks; filled in by the client.
    """

    refs: tuple[str, ...] = ()
    remote: str = ""
    depth: int = 0
    contents: bool = True
    limit: str = ""
    actor: str = "api"


class FetchedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was brought.

    Attributes:
        ref: What it is called here.
        commit: Its commit.
        called: What it is called at the remote, where that is something else: its number was taken here.
        known: How many versions were made known, with those that it follows.
        branch: The branch that was looked at.
        moved: Whether the branch stands at it now and didn't before.
        note: What somebody should know, such as that the branch went another way; empty mostly.
        blobs: How many blobs were brought.
        bytes: How many bytes they have.
    """

    ref: str
    commit: str
    called: str = ""
    known: int = 0
    branch: str = ""
    moved: bool = False
    note: str = ""
    blobs: int = 0
    bytes: int = 0


class Pull(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be brought from a remote and into the project's folder.

    Attributes:
        paths: Where its pointers lie, relative to the project; everywhere when empty.
        remote: The remote; the default one when empty.
        limit: Bytes a second at most, such as ``50MB/s``; as fast as it goes when empty.
        force: Whether changes that are in no version may be lost.
        actor: Who asks; filled in by the client.
    """

    paths: tuple[str, ...] = ()
    remote: str = ""
    limit: str = ""
    force: bool = False
    actor: str = "api"


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What was pulled, of each pointer.

    Attributes:
        fetched: What came from the remote.
        written: What was written into the project's folder.
    """

    fetched: tuple[FetchedVersion, ...]
    written: tuple[CheckedOut, ...]


class Verify(msgspec.Struct, frozen=True, kw_only=True):
    """Versions that shall be verified bit for bit.

    Attributes:
        refs: Which: references, or paths with a pointer; all when empty.
        at_remote: Whether the remote's copies are read instead of those that are here.
        remote: The remote; the default one when empty.
        repair: Whether what is damaged or missing is replaced from the other side.
    """

    refs: tuple[str, ...] = ()
    at_remote: bool = False
    remote: str = ""
    repair: bool = False


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a version that isn't what it was, or isn't there.

    Attributes:
        version: The version.
        path: The file; empty where the version itself can't be read.
        digest: What should be there.
        problem: What is wrong.
        repaired: Whether it is right now.
    """

    version: str
    path: str
    digest: str
    problem: str
    repaired: bool = False


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found.

    Attributes:
        where: What was read.
        versions: How many versions.
        files: How many files they have.
        blobs: How many blobs were read.
        bytes: How many bytes these have.
        elsewhere: How many files have contents that were never brought from the remote.
        external: How many files lie in buckets, of which only the ETag was looked at.
        damaged: How many files of versions aren't what they were.
        repaired: How many of them are right now.
        damages: The first 1,000 of them.
    """

    where: str
    versions: int
    files: int
    blobs: int
    bytes: int
    elsewhere: int
    damaged: int
    repaired: int
    damages: tuple[Damage, ...]
    external: int = 0
