"""What the client asks to take versions in from other tools, and to give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from treadle.client.calls import Calls
from treadle.data.types import DatasetVersion
from treadle.kernel.errors import TreadleError, Unavailable

if TYPE_CHECKING:
    from treadle.data import ArchiveReader, ImportBucket, ImportVersion, SentContents


class MovingCalls(Calls):
    """Calls of the routes of versions that come and go."""

    def put_contents(self, dataset: str, contents: Sequence[bytes], branch: str = "main") -> SentContents:
        """Keeps small contents for a version of a dataset."""
        from treadle.data import SentContents, frame_content

        target = f"/v1/data/contents?{urlencode({'dataset': dataset, 'branch': branch})}"
        raw = self._send("POST", target, (frame_content(one) for one in contents)).read()
        try:
            return msgspec.json.decode(raw, type=SentContents)
        except msgspec.DecodeError as error:
            raise TreadleError(f"the answer can't be read: {error}", where=self.server) from error

    def import_version(self, new: ImportVersion) -> DatasetVersion:
        """Makes a version of what another tool had; the same one if it was made before."""
        version: DatasetVersion = self._ask(DatasetVersion, "POST", "/v1/data/imports", new)
        return version

    def import_bucket(self, asked: ImportBucket) -> DatasetVersion:
        """Makes a version of what lies in a bucket; no bytes are copied."""
        from treadle.client.client import actor

        asked = msgspec.structs.replace(asked, actor=actor())
        version: DatasetVersion = self._ask(DatasetVersion, "POST", "/v1/data/imports/bucket", asked)
        return version

    def data_archive(self, ref: str) -> ArchiveReader:
        """A version, and all that it has: each entry with its bytes, to be read before the next one."""
        from treadle.data import ArchiveReader

        answer = self._send("GET", f"/v1/data/archive?{urlencode({'ref': ref})}")

        def broken() -> Unavailable:
            return Unavailable(
                "the answer broke off", where=f"{self.server}/v1/data/archive", fix="try again"
            )

        return ArchiveReader(answer.body, broken)
