"""What a run says of the files that it was seen to read."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from treadle.experiment import LogInput, LogProvenance, Provenance, Record, RunInput
from treadle.kernel.errors import TreadleError
from treadle.sdk.observing import Reads

if TYPE_CHECKING:
    from treadle.client import Client

OBSERVED = "observed"
"""What inputs that nobody declared were used for."""
_TOLD = 5


def observed(root: Path, reads: Reads) -> list[Record]:
    """The records of a run about what it read: versions that it used, and what no version has.

    Args:
        root: The project's folder.
        reads: What was seen.
    """
    records: list[Record] = []
    problems = [told_loose(reads.loose)] if reads.loose else []
    with contextlib.ExitStack() as stack:
        client: Client | None = None
        for path in reads.versioned:
            try:
                if client is None:
                    from treadle.client import connect

                    client = stack.enter_context(connect(root=root))
                used = _version(client, path)
            except (TreadleError, ImportError) as error:
                problems.append(f"read {path}, of which no version could be found: {error}"[:1000])
                continue
            if used is None:
                problems.append(f"read {path}, which differed from the version that its pointer names")
            else:
                records.append(LogInput(used))
    if problems:
        records.append(LogProvenance(Provenance(problems=tuple(problems))))
    return records


def told_loose(loose: Sequence[str]) -> str:
    """A sentence about files that no version has."""
    more = f" and {len(loose) - _TOLD:,} more" if len(loose) > _TOLD else ""
    return f"read without a version: {', '.join(loose[:_TOLD])}{more}"


def _version(client: Client, path: str) -> RunInput | None:
    """The version that lies at a path; None if what lies there was changed since."""
    from treadle.sdk.datasets import whole

    for status in client.data_status(path):
        if status.path == path and not (status.added or status.modified):
            dataset, _, at = status.ref.partition("@")
            return replace(whole(client.data_version(dataset, at)), context=OBSERVED)
    return None
