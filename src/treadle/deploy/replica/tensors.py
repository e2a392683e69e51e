"""The protocol's binary tensor data: little-endian bytes after the JSON, in the order of the tensors.

After Triton's `extension_binary_data.md`, which KServe's protocol takes over. Text is in UTF-8, each
with its length before it in four bytes.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from treadle.deploy.replica.protocol import InferenceRequest, OutputTensor
from treadle.kernel.errors import InvalidInput

HEADER = b"inference-header-content-length"

_DTYPES = {
    "BOOL": "?",
    **{
        f"{sign}INT{bits}": f"<{kind}{bits // 8}"
        for sign, kind in (("", "i"), ("U", "u"))
        for bits in (8, 16, 32, 64)
    },
    "FP16": "<f2",
    "BF16": "<u2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_LENGTH = struct.Struct("<I")


def split(body: bytes, header: bytes | None) -> tuple[bytes, memoryview]:
    """The JSON of a body, and what follows it.

    Args:
        body: The body.
        header: ``Inference-Header-Content-Length``; without it all is JSON.

    Raises:
        InvalidInput: If the length is no length of a part of the body.
    """
    if header is None:
        return body, memoryview(b"")
    if not header.isdigit() or int(header) > len(body):
        shown = header[:40].decode("latin-1")
        raise InvalidInput(
            f"Inference-Header-Content-Length is {shown!r}: no length within the body's {len(body)} bytes"
        )
    length = int(header)
    return body[:length], memoryview(body)[length:]


def attach(request: InferenceRequest, binary: memoryview) -> None:
    """Gives each tensor that came in binary its data, and checks that all bytes are used.

    Raises:
        InvalidInput: If the bytes are not what the tensors' shapes and datatypes say; says which.
    """
    start = 0
    for tensor in request.inputs:
        size = tensor.parameters.binary_data_size if tensor.parameters else None
        if size is None:
            continue
        if tensor.data is not None:
            raise InvalidInput(f"input {tensor.name!r} has data in JSON and in binary; send it once")
        piece = binary[start : start + size]
        if size < 0 or len(piece) != size:
            raise InvalidInput(
                f"input {tensor.name!r} has {len(piece)} bytes of binary data; binary_data_size says {size}"
            )
        start += size
        tensor.data = read_binary(tensor.name, tensor.datatype, piece)
    if start != len(binary):
        raise InvalidInput(f"{len(binary) - start} bytes follow the inputs' binary data; expected none")


def read_binary(name: str, datatype: str, piece: memoryview) -> Any:
    """A tensor's binary data as an array, or as texts.

    Raises:
        InvalidInput: If they are not what the datatype says.
    """
    if datatype == "BYTES":
        return _texts(name, bytes(piece))
    dtype = _DTYPES.get(datatype)
    if dtype is None:
        raise InvalidInput(f"input {name!r} has the unknown datatype {datatype!r}")
    if len(piece) % np.dtype(dtype).itemsize:
        raise InvalidInput(f"input {name!r} has {len(piece)} bytes: no whole number of {datatype}")
    if datatype == "BOOL":
        return np.frombuffer(piece, np.uint8) != 0
    values = np.frombuffer(piece, dtype)
    if datatype == "BF16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values


def _texts(name: str, piece: bytes) -> list[str]:
    found: list[str] = []
    start = 0
    while start < len(piece):
        end = start + _LENGTH.size
        length = _LENGTH.unpack_from(piece, start)[0] if end <= len(piece) else len(piece)
        if end + length > len(piece):
            raise InvalidInput(f"input {name!r}: its binary data end within text {len(found)}")
        try:
            found.append(piece[end : end + length].decode())
        except UnicodeDecodeError:
            raise InvalidInput(f"input {name!r}, row {len(found)} is not UTF-8") from None
        start = end + length
    return found


def pack(outputs: list[tuple[OutputTensor, bool]]) -> tuple[list[OutputTensor], bytes]:
    """The outputs as JSON has them, and the binary data of those that are wanted so."""
    told, pieces = [], []
    for output, binary in outputs:
        if not binary:
            told.append(output)
            continue
        piece = write_binary(output)
        pieces.append(piece)
        size = {"binary_data_size": len(piece)}
        told.append(OutputTensor(output.name, output.shape, output.datatype, parameters=size))
    return told, b"".join(pieces)


def write_binary(output: OutputTensor) -> bytes:
    """An output's data in binary."""
    if output.datatype != "BYTES":
        return np.asarray(output.data, _DTYPES[output.datatype]).tobytes()
    texts = [(text or "").encode() for text in output.data or ()]
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
