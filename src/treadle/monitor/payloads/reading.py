"""From the two sides of inferences to a batch of predictions. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from treadle.deploy import ServedAnswer, answer_values, decode_answer, decode_request, request_columns
from treadle.kernel.errors import InvalidInput
from treadle.monitor.payloads.types import InferenceEvent, Pair
from treadle.monitor.types import PredictionBatch, Value
from treadle.registry import Signature

_HEAD = 1000


class Inference(msgspec.Struct, frozen=True):
    """What was asked and answered at once.

    Attributes:
        id: Its key.
        at: When it was asked, in seconds since 1970.
        latency_ms: From the one event's time to the other's; 0 where they come the wrong way round.
        inputs: Each feature's values.
        outputs: The predictions, one a row.
    """

    id: str
    at: float
    latency_ms: float
    inputs: dict[str, list[Value]]
    outputs: list[float]

    def names(self) -> list[str]:
        """The predictions' keys: the event's own, with the row's number where there are several."""
        if len(self.outputs) == 1:
            return [self.id]
        return [f"{self.id}:{row}" for row in range(len(self.outputs))]


def check_side(event: InferenceEvent) -> None:
    """Whether one side can be read by itself.

    Raises:
        InvalidInput: If it can't.
    """
    try:
        if event.side == "request":
            decode_request(event.body)
        else:
            decode_answer(event.body)
    except InvalidInput as error:
        first = b'"instances"' if event.side == "request" else b'"predictions"'
        if first not in event.body[:_HEAD]:
            raise
        raise InvalidInput(
            f"{error.message}: this looks like the protocol's version 1",
            where=error.where,
            fix="say `protocolVersion: v2` in the InferenceService",
        ) from None


def answer_of(pair: Pair) -> ServedAnswer:
    """The response, read.

    Raises:
        InvalidInput: If it can't be.
    """
    return decode_answer(pair.response.body)


def read_pair(pair: Pair, answer: ServedAnswer, signature: Signature) -> Inference:
    """What was asked and answered.

    Args:
        pair: Both sides.
        answer: The response, read.
        signature: Of the version that answered.

    Raises:
        InvalidInput: If a side doesn't fit the signature, or one has more rows than the other.
    """
    inputs = request_columns(decode_request(pair.request.body), signature)
    outputs = answer_values(answer, signature, pair.response.output or pair.request.output)
    rows = len(next(iter(inputs.values()))) if inputs else len(outputs)
    if rows != len(outputs):
        raise InvalidInput(
            f"the request has {rows:,} rows and the response {len(outputs):,}", where=f"id {pair.request.id}"
        )
    asked, answered = _seconds(pair.request.at), _seconds(pair.response.at)
    return Inference(pair.request.id, asked, max(0.0, (answered - asked) * 1000), inputs, outputs)


def to_batch(name: str, version: int, found: Sequence[Inference]) -> PredictionBatch:
    """Inferences of one version as a batch.

    Args:
        name: The batch's identity.
        version: The version that answered.
        found: One at least.
    """
    counts = [len(one.outputs) for one in found]
    return PredictionBatch(
        batch=name,
        ids=[key for one in found for key in one.names()],
        at=[one.at for one, rows in zip(found, counts, strict=True) for _ in range(rows)],
        version=[version] * sum(counts),
        revision=[0] * sum(counts),
        inputs={feature: [v for one in found for v in one.inputs[feature]] for feature in found[0].inputs},
        outputs=[value for one in found for value in one.outputs],
        latency_ms=[one.latency_ms for one, rows in zip(found, counts, strict=True) for _ in range(rows)],
    )


def _seconds(at: datetime | None) -> float:
    assert at is not None  # noqa: S101 - what is kept has a time
    return at.timestamp()
