"""Where versions of data go that come from other tools: a workspace, through its API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from treadle.data import DatasetVersion, ImportVersion, SentContents
from treadle.kernel.errors import Unavailable
from treadle.kernel.ids import digest_bytes

LARGE = 1 << 20
"""A file of so many bytes is sent by itself; smaller ones go together."""


class Target(Protocol):
    """Takes versions in; a :class:`treadle.client.Client` does."""

    def datasets(self) -> list[DatasetVersion]:
        """The latest version of each dataset."""

    def data_log(self, name: str) -> list[DatasetVersion]:
        """A dataset's versions, newest first."""

    def put_pieces(self, pieces: Iterator[bytes]) -> str:
        """Keeps bytes that come piece by piece; returns their digest."""

    def put_contents(self, dataset: str, contents: Sequence[bytes], branch: str = "main") -> SentContents:
        """Keeps small contents for a version of a dataset."""

    def import_version(self, new: ImportVersion) -> DatasetVersion:
        """Makes a version of what another tool had; the same one if it was made before."""


def send(target: Target, dataset: str, contents: Sequence[bytes], branch: str = "main") -> SentContents:
    """Sends small contents, and sees that they arrived as they are.

    Raises:
        Unavailable: If they didn't.
    """
    sent = target.put_contents(dataset, contents, branch)
    if list(sent.digests) != [digest_bytes(data) for data in contents]:
        raise Unavailable("contents arrived as something else", fix="import again")
    return sent
