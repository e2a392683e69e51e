"""Sounds, written as WAV with the standard library alone."""

from __future__ import annotations

import io
import os
import wave
from typing import Any, ClassVar

from treadle.experiment.types import MediaKind
from treadle.kernel.errors import InvalidInput
from treadle.sdk.media import Media, as_array, read

_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "ogg": "audio/ogg", "flac": "audio/flac"}
_MOST_CHANNELS = 16


class Audio(Media):
    """A sound.

    Args:
        data: An array of samples, or of samples by channels: floats from -1 to 1, or whole numbers
            of 8 (unsigned), 16 or 32 bits. Or the path of a WAV, MP3, Ogg or FLAC file.
        rate: Samples a second; needed for an array.
        caption: What it is.

    Raises:
        InvalidInput: If it is empty, has another shape, values beyond that range or NaN, or no rate.
        NotFound: If there is no such file.
    """

    kind: ClassVar[MediaKind] = "audio"

    def __init__(self, data: Any, rate: int | None = None, caption: str | None = None) -> None:
        if isinstance(data, str | os.PathLike):
            super().__init__(*read("a sound", data, tuple(_TYPES)), caption)
        else:
            super().__init__(_wav(data, rate), "wav", caption)

    def _repr_html_(self) -> str:
        from html import escape

        sound = f'<audio controls src="{self._url(_TYPES[self.ending])}"></audio>'
        return f"<figure>{sound}<figcaption>{escape(self.caption)}</figcaption></figure>"


def _wav(data: Any, rate: int | None) -> bytes:
    import numpy as np

    if not isinstance(rate, int) or isinstance(rate, bool) or not 1 <= rate <= 1_000_000:
        raise InvalidInput(
            f"a sound needs a rate in samples a second, not {rate!r}", fix="Audio(a, rate=16000)"
        )
    array = as_array(data, "a sound")
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not 1 <= array.shape[1] <= _MOST_CHANNELS:
        raise InvalidInput(
            f"a sound has the shape samples, or samples by channels, not {array.shape}",
            fix="put the channels last: a.T",
        )
    if array.dtype.kind == "f":
        peak = float(np.abs(array).max())
        if peak > 1:
            raise InvalidInput(
                f"the samples go up to {peak:.4g}; they must be from -1 to 1",
                fix="scale them: a / abs(a).max()",
            )
        array = np.rint(array * 32767).astype("<i2")
    elif array.dtype not in (np.uint8, np.int16, np.int32):
        raise InvalidInput(
            f"samples can't be {array.dtype}", fix="use floats from -1 to 1, or int16: a.astype('int16')"
        )
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(array.shape[1])
        file.setsampwidth(array.dtype.itemsize)
        file.setframerate(rate)
        file.writeframes(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return out.getvalue()
