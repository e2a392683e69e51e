"""What is sent to a server with identifiers of its own, compared in the source's terms. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from treadle.experiment import Artifact, Curve, Hasher, LoggedModel, RunCopy, Tally, model_tally
from treadle.interop import wording

RUN_TAG, MODEL_TAG, VERSION_TAG, DONE_TAG = (
    "treadle.run", "treadle.model", "treadle.version", "treadle.exported",
)  # fmt: skip
"""Tags that have the original's identifier, and what says that all of it is there."""

PARENT_TAG = "mlflow.parentRunId"
_OURS = (RUN_TAG, MODEL_TAG, DONE_TAG, wording.NAME_TAG, "mlflow.user")
_LARGEST = float(np.finfo(np.float64).max)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Done(msgspec.Struct, frozen=True):
    """What the tag says once all of a run or logged model is there.

    Attributes:
        stamp: Changes when the original does; empty if that can't be told.
        tally: What belonged to it.
    """

    stamp: str
    tally: Tally


class Kept(msgspec.Struct, frozen=True):
    """A run or logged model that is there already.

    Attributes:
        id: Its identifier there.
        root: Where its files are.
        done: What its tag says; None if something of it may be missing.
        deleted: Whether it is deleted.
        parent: The identifier of its parent there; empty if it has none.
    """

    id: str
    root: str
    done: Done | None
    deleted: bool
    parent: str = ""


def kept(found: Mapping[str, Any]) -> tuple[str, Kept]:
    """The identifier of the original, which may be empty, and the run or logged model there."""
    info = found["info"]
    texts = info.get("tags") if "model_id" in info else found.get("data", {}).get("tags")
    tags = {one["key"]: str(one.get("value", "")) for one in texts or ()}
    whose = tags.get(MODEL_TAG if "model_id" in info else RUN_TAG, "")
    done = None
    if DONE_TAG in tags:
        try:
            done = msgspec.json.decode(tags[DONE_TAG], type=Done)
        except msgspec.MsgspecError:
            done = None  # somebody wrote over it
    return whose, Kept(
        id=str(info.get("model_id") or info.get("run_id") or info.get("run_uuid")),
        root=str(info.get("artifact_uri") or ""),
        done=done,
        deleted=wording.lifecycle(info.get("lifecycle_stage")) == "deleted",
        parent=tags.get(PARENT_TAG, ""),
    )


def clipped(curve: Curve) -> Curve:
    """The curve with its infinities as the largest numbers: so MLflow keeps them in a database."""
    return Curve(np.clip(curve.values, -_LARGEST, _LARGEST), curve.at, curve.steps)


def run_part(
    copy: RunCopy, hasher: Hasher, files: Iterable[Artifact], names: Mapping[str, str] | None = None
) -> Tally:
    """What belongs to a run, but for what the server writes itself.

    Args:
        copy: The run.
        hasher: Its curves, counted.
        files: Its files.
        names: The originals' identifiers by those there; None for the original itself.
    """
    back = names or {}
    tags = {name: value for name, value in copy.tags.items() if name not in _OURS}
    if PARENT_TAG in tags:
        tags[PARENT_TAG] = back.get(tags[PARENT_TAG], tags[PARENT_TAG])
    models = tuple(msgspec.structs.replace(one, model=back.get(one.model, one.model)) for one in copy.models)
    return hasher.tally(msgspec.structs.replace(copy, tags=tags, models=models, files=tuple(files)))


def model_part(
    model: LoggedModel, files: Iterable[Artifact], names: Mapping[str, str] | None = None
) -> Tally:
    """What belongs to a logged model, but for what the server writes itself; as :func:`run_part`."""
    back = names or {}
    plain = msgspec.structs.replace(
        model,
        created_at=_EPOCH,
        message=None,
        status="pending" if model.status == "unspecified" else model.status,
        run=back.get(model.run, model.run),
        tags={name: value for name, value in model.tags.items() if name not in _OURS},
        metrics=tuple(
            msgspec.structs.replace(
                one,
                run=back.get(one.run, one.run),
                value=float(np.clip(float(one.value), -_LARGEST, _LARGEST)),
            )
            for one in model.metrics
        ),
    )
    return model_tally(plain, tuple(files))
