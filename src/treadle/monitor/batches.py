"""Batches of predictions and labels: checked whole, then turned into columns of fixed types. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from treadle.kernel.config.base import SERVED, Task
from treadle.kernel.errors import InvalidInput
from treadle.kernel.names import did_you_mean
from treadle.monitor.privacy import Concealment
from treadle.monitor.types import LabelBatch, PredictionBatch, Value
from treadle.registry import FieldKind, Signature

if TYPE_CHECKING:
    from arro3.core import Array

_DAY_US = 86_400_000_000
_LAST_SECOND = 253_402_300_799  # the end of the year 9999
_NUMBERS = frozenset({float, int, bool, type(None)})
_TEXTS = frozenset({str, type(None)})
_MAX_ID = 500

Columns = dict[str, "Array"]


def prediction_columns(
    batch: PredictionBatch,
    signatures: Sequence[Signature],
    recorded: np.int64,
    concealment: Concealment,
    sizes: Mapping[str, int] | None = None,
    groups: Collection[str] = (),
) -> Columns:
    """The columns of the prediction table.

    A feature's type follows from the model's signature, never from the values at hand: a
    batch in which it is always missing has the same type as any other.

    Args:
        batch: The predictions.
        signatures: The signature of each version that the batch names.
        recorded: When they were written down, in microseconds since 1970.
        concealment: What is kept of inputs.
        sizes: How many numbers the vectors of each declared embedding have.
        groups: What of groups may be sent with them.

    Raises:
        InvalidInput: Naming the first thing that can't be used.
    """
    rows = len(batch.ids)
    revision, lasted = batch.revision or [0] * rows, batch.latency_ms or [0.0] * rows
    _check_keys(batch.batch, batch.ids)
    _check_lengths(
        rows,
        {
            "at": batch.at,
            "version": batch.version,
            "revision": revision,
            "outputs": batch.outputs,
            "latency_ms": lasted,
            **{f"inputs.{name}": values for name, values in batch.inputs.items()},
            **{f"embeddings.{name}": vectors for name, vectors in batch.embeddings.items()},
        },
    )
    if not rows:
        return {}
    outputs = _floats("outputs", batch.outputs)
    if any(signature.output == "probability" for signature in signatures):
        _refuse("outputs", (outputs < 0) | (outputs > 1), "is no probability")
    latency = _floats("latency_ms", lasted)
    _refuse("latency_ms", latency < 0, "is negative")
    kinds = _kinds(signatures)
    _check_features(batch.inputs, kinds)
    at = _moments("at", batch.at, recorded)
    columns = {
        "prediction_id": _texts("ids", batch.ids),
        "at": _timestamps(at),
        "day": _days(at),
        "version": _integers("version", batch.version),
        "revision": _integers("revision", revision),
        "latency_ms": _numbers(latency.tolist()),
        "output": _numbers(outputs.tolist()),
        "recorded_at": _timestamps(np.full(rows, recorded, np.int64)),
    }
    for name, kind in kinds.items():
        where, text = f"inputs.{name}", kind == "string"
        made = (_texts if text else _feature)(where, batch.inputs[name])
        if not concealment.plain(name):
            kept = concealment.keep(name, batch.inputs[name], text=text)
            made = (_texts if text else _feature)(where, kept)
        columns[f"input_{name}"] = made
    for name, vectors in batch.embeddings.items():
        columns[f"embedding_{name}"] = _vectors(name, vectors, sizes or {})
    return columns | _sent(rows, batch.groups, groups)


def label_columns(batch: LabelBatch, task: Task, recorded: np.int64, groups: Collection[str] = ()) -> Columns:
    """The columns of the label table.

    Args:
        batch: The labels.
        task: What the labels are: 0 or 1 for ``binary``, any number for ``regression``.
        recorded: When they were written down, in microseconds since 1970.
        groups: What of groups may be sent with them.

    Raises:
        InvalidInput: Naming the first thing that can't be used.
    """
    if task not in SERVED:
        raise InvalidInput(
            f"labels of a {task} task can't be kept: its models can't be served or monitored yet",
            where="treadle.toml [project] task",
        )
    _check_keys(batch.batch, batch.ids)
    _check_lengths(len(batch.ids), {"values": batch.values, "known_at": batch.known_at})
    values = _floats("values", batch.values)
    if task == "binary":
        _refuse("values", ~np.isin(values, (0.0, 1.0)), "is no label of a binary task (0 or 1)")
    known = _moments("known_at", batch.known_at, recorded)
    sent = _sent(len(batch.ids), batch.groups, groups)
    return sent | {
        "prediction_id": _texts("ids", batch.ids),
        "value": _numbers(values.tolist()),
        "known_at": _timestamps(known),
        "day": _days(known),
        "recorded_at": _timestamps(np.full(len(batch.ids), recorded, np.int64)),
    }


def _sent(rows: int, sent: Mapping[str, Sequence[str | None]], groups: Collection[str]) -> Columns:
    """The columns of groups that are sent."""
    for name in sent:
        if name not in groups:
            raise InvalidInput(
                "no such groups are declared",
                where=f"groups.{name}",
                fix=did_you_mean(name, groups) or f"add [monitor.fairness.{name}] with its `groups`",
            )
    _check_lengths(rows, {f"groups.{name}": values for name, values in sent.items()})
    return {f"group_{name}": _texts(f"groups.{name}", values) for name, values in sent.items()}


def _check_keys(batch: str, ids: Sequence[str]) -> None:
    if not 0 < len(batch) <= _MAX_ID:
        raise InvalidInput(f"a batch is named by 1 to {_MAX_ID} characters", where="batch")
    for row, key in enumerate(ids):
        if not isinstance(key, str) or not 0 < len(key) <= _MAX_ID:
            raise InvalidInput(f"a prediction is named by 1 to {_MAX_ID} characters", where=f"ids, row {row}")


def _check_lengths(rows: int, columns: Mapping[str, Sequence[Any]]) -> None:
    for name, values in columns.items():
        if len(values) != rows:
            raise InvalidInput(f"there are {rows:,} ids and {len(values):,} of these", where=name)


def _kinds(signatures: Sequence[Signature]) -> dict[str, FieldKind]:
    """What each feature holds, in all versions that the batch names."""
    kinds: dict[str, FieldKind] = {}
    for field in (field for signature in signatures for field in signature.inputs):
        if (kinds.setdefault(field.name, field.kind) == "string") != (field.kind == "string"):
            raise InvalidInput(
                "the versions in the batch disagree about its type",
                where=f"inputs.{field.name}",
                fix="send each version's predictions in a batch of their own",
            )
    return kinds


def _check_features(inputs: Mapping[str, Sequence[Value]], kinds: Mapping[str, FieldKind]) -> None:
    for name in inputs:
        if name not in kinds:
            raise InvalidInput(
                "the model has no such input", where=f"inputs.{name}", fix=did_you_mean(name, kinds)
            )
    for name, kind in kinds.items():
        if name not in inputs:
            raise InvalidInput("this input of the model is missing", where=f"inputs.{name}")
        allowed = _TEXTS if kind == "string" else _NUMBERS
        if not set(map(type, inputs[name])) <= allowed:
            row = next(i for i, value in enumerate(inputs[name]) if type(value) not in allowed)
            raise InvalidInput(
                f"{inputs[name][row]!r:.40} is no {'text' if kind == 'string' else 'number'}",
                where=f"inputs.{name}, row {row}",
            )


def _floats(name: str, values: Sequence[float]) -> npt.NDArray[np.float64]:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("not every value is a number", where=name) from None
    _refuse(name, ~np.isfinite(array), "is not finite")
    return array


def _moments(name: str, values: Sequence[float], now: np.int64) -> npt.NDArray[np.int64]:
    seconds = _floats(name, values)
    thousandths = "write seconds: these look like thousandths or smaller parts of them"
    _refuse(name, seconds > _LAST_SECOND, "is no moment in seconds since 1970", thousandths)
    _refuse(name, seconds < 0, "is no moment in seconds since 1970")
    ahead = "see that clocks agree, and that times are in UTC"
    _refuse(name, seconds * 1e6 > now + _DAY_US, "is more than a day in the future", ahead)
    return np.round(seconds * 1e6).astype(np.int64)


def content_of(batch: PredictionBatch | LabelBatch) -> int:
    """A number that tells a batch from any other of its name: 62 bits of the BLAKE2b of what it holds."""
    held = msgspec.structs.asdict(batch)
    if isinstance(batch, PredictionBatch) and not batch.groups:
        del held["groups"]  # as batches were before they could have any: one may be sent again
    whole = hashlib.blake2b(msgspec.json.encode(held, order="sorted"), digest_size=8)
    return int.from_bytes(whole.digest(), "big") >> 2


def _refuse(name: str, bad: npt.NDArray[np.bool_], why: str, fix: str | None = None) -> None:
    if bad.any():
        more = f" ({int(bad.sum()):,} rows in all)" if bad.sum() > 1 else ""
        raise InvalidInput(f"the value {why}{more}", where=f"{name}, row {int(bad.argmax())}", fix=fix)


def _feature(name: str, values: Sequence[Any]) -> Array:
    try:
        return _numbers([None if value is None or value != value else float(value) for value in values])  # noqa: PLR0124 - NaN
    except OverflowError:
        raise InvalidInput("a number is too large", where=name) from None


def _numbers(values: Sequence[float | None]) -> Array:
    from arro3.core import Array, DataType

    return Array(values, type=DataType.float64())


def _vectors(name: str, vectors: Sequence[Sequence[float] | None], sizes: Mapping[str, int]) -> Array:
    """Vectors of one size in single precision; one that is missing is empty."""
    from arro3.core import Array, list_array

    where = f"embeddings.{name}"
    if name not in sizes:
        fix = f"add [monitor.embeddings.{name}] with its `size`"
        raise InvalidInput("no such embedding is declared", where=where, fix=fix)
    lengths = np.array([0 if one is None else len(one) for one in vectors], dtype=np.int64)
    wrong = np.flatnonzero([one is not None and len(one) != sizes[name] for one in vectors])
    if len(wrong):
        row = int(wrong[0])
        message = f"the vector has {lengths[row]:,} numbers; {sizes[name]:,} are declared"
        raise InvalidInput(message, where=f"{where}, row {row}")
    try:
        with np.errstate(over="ignore"):  # what is too large is infinite, and told below
            values = np.array([one for one in vectors if one is not None], dtype=np.float32).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput("not every value is a number", where=where) from None
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        row = int(np.flatnonzero(lengths)[bad[0] // sizes[name]])
        raise InvalidInput("a value is not finite", where=f"{where}, row {row}")
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return list_array(Array(offsets), Array(values))


def _integers(name: str, values: Sequence[int]) -> Array:
    from arro3.core import Array, DataType

    for row, value in enumerate(values):
        if type(value) is not int or not 0 <= value < 1 << 62:
            raise InvalidInput("the value is no count", where=f"{name}, row {row}")
    return Array(values, type=DataType.int64())


def _texts(name: str, values: Sequence[Any]) -> Array:
    from arro3.core import Array, DataType

    try:
        return Array(values, type=DataType.string())
    except UnicodeEncodeError:
        raise InvalidInput("a text is not valid Unicode", where=name) from None


def _timestamps(micros: npt.NDArray[np.int64]) -> Array:
    from arro3.core import Array, DataType

    return Array(micros).cast(DataType.timestamp("us", tz="UTC"))


def _days(micros: npt.NDArray[np.int64]) -> Array:
    from arro3.core import Array, DataType

    return Array((micros // _DAY_US).astype(np.int32)).cast(DataType.date32())
