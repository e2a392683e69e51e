"""Values that every room and every client knows."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a server, or of a workspace without one.

    Attributes:
        version: Treadle's version.
        project: The project's name.
        model: The project's model.
        root: The project's folder on the server.
        schema: The schema of the metadata store.
        metadata: Where metadata is kept, without passwords.
        blobs: Where blobs are kept.
        tables: Where tables are kept.
        now: The workspace's time.
        replaying: Whether that time is a replayed one.
        driving: Whether this process executes cycles.
    """

    version: str
    project: str
    model: str
    root: str
    schema: str
    metadata: str
    blobs: str
    tables: str
    now: datetime
    replaying: bool
    driving: bool


class Event(msgspec.Struct, frozen=True):
    """Something that was decided or that happened.

    Attributes:
        id: Its identifier. An event with an identifier that is already there is not added again.
        at: When it took effect (replayed time, in a replay).
        recorded_at: When it was written down, by the machine's clock.
        subject: What it concerns, such as ``model:flights``.
        kind: What happened, such as ``promoted``.
        actor: Who or what did it, such as ``cycle:c_01`` or a user.
        message: One sentence.
        facts: The evidence, by name.
    """

    id: str
    at: datetime
    recorded_at: datetime
    subject: str
    kind: str
    actor: str
    message: str
    facts: dict[str, str] = msgspec.field(default_factory=dict)
