"""What a run can show beside numbers: each kind is made at once, so that a mistake is told at once."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from treadle.experiment import check_artifact_path
from treadle.experiment.types import MediaKind
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.files import storage_errors
from treadle.kernel.units import format_bytes

LARGEST = 256 << 20
LONGEST_CAPTION = 1000


class Media:
    """Something to look at or to listen to; see its kinds.

    Attributes:
        kind: What it is.
        data: The bytes of its file.
        ending: What its file's name ends with.
        caption: What it says about itself.
    """

    kind: ClassVar[MediaKind]

    def __init__(self, data: bytes, ending: str, caption: str | None) -> None:
        text = "" if caption is None else str(caption)
        if len(text) > LONGEST_CAPTION or "\0" in text:
            raise InvalidInput(f"a caption has up to {LONGEST_CAPTION:,} characters, and no NUL")
        if len(data) > LARGEST:
            raise InvalidInput(
                f"{self._noun()} has {format_bytes(len(data))}, the most is {format_bytes(LARGEST)}",
                fix="make it smaller, or keep it with run.log_artifact",
            )
        self.data = data
        self.ending = ending
        self.caption = text

    @classmethod
    def _noun(cls) -> str:
        return f"{'an' if cls.kind in ('image', 'audio') else 'a'} {cls.kind}"

    def _url(self, media_type: str) -> str:
        return f"data:{media_type};base64,{base64.b64encode(self.data).decode()}"

    def __repr__(self) -> str:
        caption = f" {self.caption!r}" if self.caption else ""
        return f"<{self.kind}{caption}, {format_bytes(len(self.data))} .{self.ending}>"


def pieces(value: object) -> Sequence[Media] | None:
    """The media of a logged value: one, or a list of them; None if it is anything else."""
    if isinstance(value, Media):
        return (value,)
    if isinstance(value, list | tuple) and value and all(isinstance(one, Media) for one in value):
        return value
    return None


def path_of(name: str, step: int, number: int, many: bool, writer: str, ending: str) -> str:
    """Where a piece lies among the run's files: ``media/NAME/STEP.ENDING``.

    Several that were logged together are numbered, and other writers than the first add their name.

    Raises:
        InvalidInput: If the name can't be part of a path.
    """
    marks = "".join((f"-{number}" if many else "", f".{writer}" if writer else ""))
    return check_artifact_path(f"media/{name}/{step}{marks}.{ending}")


def write_quick(path: Path, data: bytes) -> None:
    """Writes a file, whole or not at all, without waiting for the disk: the training waits for this.

    Raises:
        StorageFull: If the disk is full.
        StorageError: If it can't be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with storage_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read(kind: str, path: Any, endings: Sequence[str]) -> tuple[bytes, str]:
    """The bytes of a file and its ending.

    Raises:
        NotFound: If there is no such file.
        InvalidInput: If it is of another kind, or too large.
    """
    file = Path(path)
    ending = file.suffix.lower().lstrip(".")
    if ending not in endings:
        raise InvalidInput(
            f"{file.name!r:.80} doesn't look like {kind}",
            where=str(file),
            fix=f"use a file that ends in {', '.join(endings)}",
        )
    if not file.is_file():
        raise NotFound("there is no such file", where=str(file))
    with storage_errors(str(file)):
        if file.stat().st_size > LARGEST:
            raise InvalidInput(f"{kind} has up to {format_bytes(LARGEST)}", where=str(file))
        return file.read_bytes(), ending


def as_array(value: Any, kind: str) -> Any:
    """A value as a numpy array: of numpy, PyTorch, JAX, TensorFlow, or a list of numbers.

    Raises:
        InvalidInput: If it isn't one.
    """
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except Exception as error:  # noqa: BLE001 - whatever an unknown library raises
        raise InvalidInput(f"{kind} can't be made of {type(value).__name__}: {error}") from None
    if array.dtype.kind not in "biuf":
        raise InvalidInput(
            f"{kind} can't be made of {type(value).__name__} with {array.dtype} values",
            fix="give an array of numbers, or a path",
        )
    if array.size == 0:
        raise InvalidInput(f"{kind} needs at least one value; the shape is {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidInput(
            f"{kind} can't have NaN or infinite values", fix="replace them first: numpy.nan_to_num"
        )
    return array
