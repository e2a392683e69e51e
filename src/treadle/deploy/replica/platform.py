"""What a replica needs of the platform; ``treadle.client.Client`` is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from treadle.deploy.types import DesiredRevision, ReplicaReport


class Platform(Protocol):
    """Everything that a replica asks of the platform. Called from several threads."""

    def report(self, report: ReplicaReport) -> DesiredRevision | None:
        """Tells how the replica is; returns what it is to serve."""

    def report_all(self, reports: Sequence[ReplicaReport]) -> list[DesiredRevision | None]:
        """The same of several models at once.

        Raises:
            NotFound: If the platform is older than that.
        """

    def fetch_blob(self, digest: str, path: Path) -> None:
        """Writes the bytes of a digest to a file."""

    def send_segment(self, model: str, segment: str, rows: int, data: bytes) -> None:
        """Logs a segment of the journal; sending it twice is sending it once."""
