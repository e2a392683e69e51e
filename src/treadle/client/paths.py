"""What the client asks of versions by path."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from msgspec.structs import replace

from treadle.client.calls import Calls
from treadle.data import ChangePaths, DatasetVersion, PathEntry, PathPage
from treadle.kernel.errors import Unavailable

_PAGE = 10_000


class PathCalls(Calls):
    """Calls of the routes of versions by path."""

    def data_entry(self, dataset: str, at: str, path: str) -> PathEntry:
        """What lies at a path of a version."""
        target = f"{_of(dataset)}/entry"
        found: PathEntry = self._ask(PathEntry, "GET", target, at=at or None, path=path)
        return found

    def data_paths(
        self, dataset: str, at: str = "", path: str = "", *, deep: bool = False
    ) -> list[PathEntry]:
        """All that lies in a folder of a version; all that is below, on demand."""
        found: list[PathEntry] = []
        after: str | None = None
        while after != "":
            page: PathPage = self._ask(
                PathPage,
                "GET",
                f"{_of(dataset)}/paths",
                at=at or None,
                path=path or None,
                deep="1" if deep else None,
                after=after,
                limit=_PAGE,
            )
            found += page.entries
            after = page.after
        return found

    def read_data(
        self, dataset: str, at: str, path: str, start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """A file's bytes from ``start`` to before ``end``, in pieces.

        Args:
            dataset: The dataset.
            at: The version: ``v3``, or a commit.
            path: The file.
            start: The first byte.
            end: The one after the last; to the end of the file when None.

        Raises:
            Unavailable: If fewer came.
        """
        if end is not None and start >= end:
            return iter(())
        target = f"{_of(dataset)}/files/{quote(at, safe='')}/{quote(path)}"
        headers = {}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        answer = self._send("GET", target, headers=headers)
        wanted = int(answer.headers.get("content-length", "-1"))
        return self._counted(answer.body, wanted, target)

    def _counted(self, pieces: Iterator[bytes], wanted: int, target: str) -> Iterator[bytes]:
        size = 0
        for piece in pieces:
            size += len(piece)
            yield piece
        if wanted not in (-1, size):
            raise Unavailable(
                f"the answer broke off after {size:,} of {wanted:,} bytes",
                where=f"{self.server}{target}",
                fix="try again",
            )

    def change_data(self, dataset: str, asked: ChangePaths) -> DatasetVersion:
        """Makes a version of a branch with some paths changed: all of them or none."""
        from treadle.client.client import actor

        asked = replace(asked, actor=actor())
        made: DatasetVersion = self._ask(DatasetVersion, "POST", f"{_of(dataset)}/changes", asked)
        return made


def _of(dataset: str) -> str:
    return f"/v1/datasets/{quote(dataset, safe='')}"
