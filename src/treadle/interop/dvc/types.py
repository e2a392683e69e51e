"""What a DVC repository says of its data."""

from __future__ import annotations

from datetime import datetime

import msgspec

from treadle.data.types import Source


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder that DVC tracks.

    Attributes:
        path: Where it lies within the repository, with forward slashes.
        md5: The MD5 of the file, or of the folder's list of files.
        folder: Whether it is a folder.
        size: In bytes; None where the pointer doesn't say.
        count: How many files a folder has; None where the pointer doesn't say.
        executable: Whether the file may be executed.
        legacy: Whether DVC before 3.0 wrote it: the MD5 of text is that of its Unix form.
        where: The pointer: a ``.dvc`` file, or a ``dvc.lock`` and its stage.
        made_of: What it was made of, or by.
    """

    path: str
    md5: str
    folder: bool = False
    size: int | None = None
    count: int | None = None
    executable: bool = False
    legacy: bool = False
    where: str
    made_of: tuple[Source, ...] = ()

    @property
    def object(self) -> str:
        """What names it in a cache: the MD5, with ``.dir`` for a folder."""
        return f"{self.md5}.dir" if self.folder else self.md5


class Member(msgspec.Struct, frozen=True, order=True):
    """A file of a folder that DVC tracks.

    Attributes:
        path: Where it lies within the folder.
        md5: The MD5 of its bytes.
    """

    path: str
    md5: str


class GitCommit(msgspec.Struct, frozen=True, kw_only=True):
    """A commit of the repository.

    Attributes:
        id: Its SHA.
        at: When its author made it.
        author: Who, as ``NAME <ADDRESS>``.
        message: Why.
    """

    id: str
    at: datetime
    author: str
    message: str


class Remote(msgspec.Struct, frozen=True):
    """A place outside of the repository that has objects.

    Attributes:
        name: Its name.
        url: A folder, or ``s3://``, ``gs://`` or ``azure://``.
        options: The rest of what the configuration says.
    """

    name: str
    url: str
    options: dict[str, str]


class DvcConfig(msgspec.Struct, frozen=True):
    """What a repository's configuration says.

    Attributes:
        cache: The cache's folder.
        remotes: The remotes, by name.
        default: The default remote's name; empty where there is none.
    """

    cache: str
    remotes: dict[str, Remote]
    default: str = ""
