"""What is told of versions that come from other tools."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from treadle.data.storage.packs import Pack
from treadle.data.types import Source


class SentContents(msgspec.Struct, frozen=True):
    """Small contents that were taken in and that a version may name from now on.

    Attributes:
        digests: Of each, in the order in which they came.
        packs: The packs that were written for them; none if all were there already.
    """

    digests: tuple[str, ...]
    packs: tuple[Pack, ...]


class ImportBucket(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in a bucket, of which a version shall be made without copying it.

    Attributes:
        dataset: The dataset; made if there is none.
        url: Where it lies: ``s3://bucket/prefix``, ``gs://…`` or ``az://…``.
        branch: The branch that moves.
        message: Why.
        actor: Who asks; filled in by the client.
    """

    dataset: str
    url: str
    branch: str = "main"
    message: str = ""
    actor: str = "api"


class ImportVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that comes from another tool; its contents are here already.

    Attributes:
        dataset: The dataset; made if there is none.
        branch: The branch that moves.
        listing: The digest of a blob: a JSON list of its entries.
        packs: The packs that have its small contents, besides those of the version before.
        identity: What it is there. A version that has this among its origins is this one: asking again
            makes none.
        origin: What else it was made of, or by.
        message: Why it was made.
        actor: Who made it there.
        at: When it was made there; now when None.
    """

    dataset: str
    branch: str = "main"
    listing: str
    packs: tuple[Pack, ...] = ()
    identity: Source
    origin: tuple[Source, ...] = ()
    message: str = ""
    actor: str
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
