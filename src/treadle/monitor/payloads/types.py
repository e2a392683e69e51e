"""What another server's logger tells of one inference."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from treadle.kernel.errors import InvalidInput

Side = Literal["request", "response"]
_LONGEST_ID = 480  # with a row's number it is still a prediction's key


class InferenceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One side of an inference, as it was sent over the wire.

    Attributes:
        id: What request and response have in common; the prediction's key.
        side: Which of the two it is.
        body: Its bytes: JSON of the Open Inference Protocol v2.
        at: When it was sent; when it arrived, if nobody says.
        service: Which server answered, such as the name of an InferenceService.
        version: The version that answered, where the sender knows it.
        output: Which tensor of the response is the prediction, where it has several.
    """

    id: str
    side: Side
    body: bytes
    at: datetime | None = None
    service: str = ""
    version: int | None = None
    output: str = ""


class Pair(msgspec.Struct, frozen=True):
    """Both sides of an inference."""

    model: str
    request: InferenceEvent
    response: InferenceEvent

    @property
    def version(self) -> int | None:
        """The version that the sender says answered."""
        return self.response.version or self.request.version


class Unpaired(msgspec.Struct, frozen=True, kw_only=True):
    """What other servers logged whose other side isn't here.

    Attributes:
        requests: How many requests wait for their response.
        responses: How many responses wait for their request.
        since: When the first of them arrived; None if there are none.
    """

    requests: int = 0
    responses: int = 0
    since: datetime | None = None


def check_event(event: InferenceEvent) -> None:
    """Refuses an event whose texts can't be kept.

    Raises:
        InvalidInput: Naming the attribute.
    """
    if not 0 < len(event.id) <= _LONGEST_ID or not event.id.isprintable():
        raise InvalidInput(
            f"an event is named by 1 to {_LONGEST_ID} printable characters", where="id", fix="send `ce-id`"
        )
    for name, text in (("inferenceservicename", event.service), ("output", event.output)):
        if len(text) > _LONGEST_ID or not text.isprintable():
            raise InvalidInput(f"{text[:40]!r} is no name", where=name)
