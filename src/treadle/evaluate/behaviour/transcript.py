"""All that was asked and answered in a check, kept so that it can be scored again."""

from __future__ import annotations

import msgspec

from treadle.evaluate.behaviour.types import Answered, Case
from treadle.kernel.blobs import BlobStore
from treadle.kernel.config import BehaviourCheck
from treadle.kernel.errors import CorruptData

_MOST_BYTES = 4 << 30


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of an evaluation.

    Attributes:
        check: The check's name.
        declared: What it declared; keys of endpoints are no part of it.
        cases: What was asked.
        answers: What came back, also from judges.
        version: Of the format.
    """

    check: str
    declared: BehaviourCheck
    cases: tuple[Case, ...]
    answers: tuple[Answered, ...]
    version: int = 1


def keep(blobs: BlobStore, transcript: Transcript) -> str:
    """Keeps a transcript, compressed; returns its digest.

    Raises:
        StorageError: If the store can't be written.
    """
    import zstandard

    return blobs.put(zstandard.ZstdCompressor(level=3).compress(msgspec.json.encode(transcript)))


def load(blobs: BlobStore, digest: str) -> Transcript:
    """A transcript that was kept.

    Raises:
        NotFound: If it isn't kept any more.
        CorruptData: If it can't be read.
    """
    import zstandard

    try:
        content = zstandard.ZstdDecompressor().decompress(blobs.get(digest), max_output_size=_MOST_BYTES)
        return msgspec.json.decode(content, type=Transcript)
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        raise CorruptData(
            f"the answers can't be read: {error}", where=f"blob {digest[:12]}", fix="ask again"
        ) from None
