"""Images, written as PNG with the standard library alone."""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import Any, ClassVar

from treadle.experiment.types import MediaKind
from treadle.kernel.errors import InvalidInput
from treadle.sdk.media import Media, as_array, read

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"BM": "bmp",
}
_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
}
_COLOURS = {1: 0, 3: 2, 4: 6}
_MOST_PIXELS = 100_000_000


class Image(Media):
    """A picture.

    Args:
        data: An array of height by width, or height by width by 1, 3 or 4 (grey, RGB, RGBA): whole
            numbers from 0 to 255, floats from 0 to 1, or truth values. A PyTorch tensor may have
            its channels first. Or a PIL image, the path of a PNG, JPEG, GIF, WebP or BMP file, or
            the bytes of one.
        caption: What it shows.

    Raises:
        InvalidInput: If it is empty, has another shape, values beyond that range or NaN, or the
            file isn't a picture.
        NotFound: If there is no such file.
    """

    kind: ClassVar[MediaKind] = "image"

    def __init__(self, data: Any, caption: str | None = None) -> None:
        super().__init__(*_encoded(data), caption)

    def _repr_png_(self) -> bytes | None:
        return self.data if self.ending == "png" else None

    def _repr_jpeg_(self) -> bytes | None:
        return self.data if self.ending == "jpg" else None

    def _repr_html_(self) -> str:
        from html import escape

        picture = f'<img src="{self._url(_TYPES[self.ending])}" alt="{escape(self.caption)}">'
        return f"<figure>{picture}<figcaption>{escape(self.caption)}</figcaption></figure>"


def _encoded(data: Any) -> tuple[bytes, str]:
    if isinstance(data, str | os.PathLike):
        raw, _ = read("an image", data, (*_TYPES, "jpeg"))
        return raw, _kind(raw, str(data))
    if isinstance(data, bytes | bytearray):
        return bytes(data), _kind(bytes(data), None)
    if hasattr(data, "save") and hasattr(data, "mode"):  # PIL's
        if 0 in data.size:
            raise InvalidInput("an image needs at least one pixel")
        out = io.BytesIO()
        plain = data if data.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else data.convert("RGB")
        plain.save(out, "PNG")
        return out.getvalue(), "png"
    return png(_pixels(data)), "png"


def _kind(raw: bytes, where: str | None) -> str:
    for start, kind in _SIGNATURES.items():
        if raw.startswith(start):
            return kind
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "webp"
    raise InvalidInput("that is not a PNG, JPEG, GIF, WebP or BMP picture", where=where)


def _pixels(data: Any) -> Any:
    """The picture as whole numbers from 0 to 255, of height by width by channels."""
    import numpy as np

    array = as_array(data, "an image")
    if hasattr(data, "detach") and array.ndim == 3 and array.shape[0] in _COLOURS:
        array = np.moveaxis(array, 0, 2)  # as PyTorch has it: channels first
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in _COLOURS:
        first = array.ndim == 3 and array.shape[0] in _COLOURS
        raise InvalidInput(
            f"an image has the shape height by width, or height by width by 1, 3 or 4, not {array.shape}",
            fix="put the channels last: numpy.moveaxis(a, 0, 2)"
            if first
            else "log several as a list of images",
        )
    if array.shape[0] * array.shape[1] > _MOST_PIXELS:
        raise InvalidInput(f"an image has up to {_MOST_PIXELS:,} pixels, not {array.shape}")
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * 255
    low, high, most = array.min(), array.max(), 1 if array.dtype.kind == "f" else 255
    if low < 0 or high > most:
        raise InvalidInput(
            f"the pixels of {array.dtype} go from {low:.4g} to {high:.4g}; they must be from 0 to {most}",
            fix="scale them: (a - a.min()) / (a.max() - a.min())",
        )
    return np.rint(array * 255).astype(np.uint8) if most == 1 else array.astype(np.uint8)


def png(pixels: Any) -> bytes:
    """A PNG file (ISO/IEC 15948) of pixels of 8 bits, of height by width by 1, 3 or 4."""
    import numpy as np

    height, width, channels = pixels.shape
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
