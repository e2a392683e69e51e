"""CloudEvents 1.0 over HTTP, as inference loggers send them.

After the HTTP protocol binding (https://github.com/cloudevents/spec, ``bindings/http-protocol-binding.md``):
in binary mode attributes are ``ce-`` headers and the body is the payload, of whatever content type; in
structured mode the body is one JSON object. Types and the extension ``inferenceservicename`` are those of
KServe's logger (``pkg/logger/worker.go``). Pure: headers and bytes in, an event or an error out.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import msgspec

from treadle.kernel.errors import InvalidInput
from treadle.monitor import InferenceEvent

REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"
STRUCTURED = "application/cloudevents+json"
_BATCHED = "application/cloudevents-batch"


class _Structured(msgspec.Struct):
    id: str
    type: str
    specversion: str
    time: str | None = None
    inferenceservicename: str = ""
    data: msgspec.Raw = msgspec.Raw()
    data_base64: str | None = None


_DECODER = msgspec.json.Decoder(_Structured)


def read_event(headers: Mapping[str, str], body: bytes) -> InferenceEvent:
    """The event that a request brings.

    Args:
        headers: The request's, found by name in any case.
        body: Its body.

    Raises:
        InvalidInput: If it is none that can be used; says what is missing.
    """
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media.startswith(_BATCHED):
        raise InvalidInput(
            "batches of CloudEvents are not taken", where="content-type", fix="send each event by itself"
        )
    if media.startswith("application/cloudevents"):
        return _structured(media, body)
    told = {
        name: _header(name, headers.get(f"ce-{name}", ""))
        for name in ("id", "type", "specversion", "time", "inferenceservicename")
    }
    if not told["type"] and not told["id"]:
        raise InvalidInput(
            "the request is no CloudEvent: it has neither `ce-` headers nor a body of "
            f"content type {STRUCTURED}",
            where="ce-type",
            fix="point spec.predictor.logger.url of an InferenceService here; other senders set ce-id, "
            "ce-type and ce-specversion",
        )
    return _event(told, body, "ce-")


def _structured(media: str, body: bytes) -> InferenceEvent:
    if media != STRUCTURED:
        raise InvalidInput(
            f"events as {media[:80]} are not taken", where="content-type", fix=f"use {STRUCTURED}"
        )
    try:
        found = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        raise InvalidInput(f"the body is no CloudEvent: {message}", where=path.strip("`") or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidInput("the body is nested too deeply") from None
    told = {name: getattr(found, name) or "" for name in ("id", "type", "specversion", "time")}
    return _event(told | {"inferenceservicename": found.inferenceservicename}, _data(found), "")


def _data(found: _Structured) -> bytes:
    """The payload: JSON as it stands, or a text or Base64 that holds it."""
    if found.data_base64 is not None:
        try:
            return base64.b64decode(found.data_base64, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput("the data are no Base64", where="data_base64") from None
    raw = bytes(found.data)
    if raw in (b"", b"null"):
        raise InvalidInput("the event has no data", where="data")
    return msgspec.json.decode(raw, type=str).encode() if raw[:1] == b'"' else raw


def _header(name: str, value: str) -> str:
    """An attribute's text: percent-encoded where it isn't plain."""
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput("the value is not UTF-8, percent-encoded", where=f"ce-{name}") from None


def _event(told: Mapping[str, Any], body: bytes, prefix: str) -> InferenceEvent:
    for name in ("id", "type"):
        if not told[name]:
            raise InvalidInput("the event lacks this attribute", where=f"{prefix}{name}", fix="send it")
    version = told["specversion"]
    if version and not version.startswith("1."):
        raise InvalidInput(
            f"CloudEvents {version[:20]} can't be read", where=f"{prefix}specversion", fix="send version 1.0"
        )
    kind = told["type"]
    if kind not in (REQUEST, RESPONSE):
        raise InvalidInput(
            f"events of type {kind[:100]!r} are not taken",
            where=f"{prefix}type",
            fix=f"send {REQUEST} and {RESPONSE}",
        )
    return InferenceEvent(
        id=told["id"],
        side="request" if kind == REQUEST else "response",
        body=body,
        at=_time(told["time"], f"{prefix}time"),
        service=told["inferenceservicename"],
    )


def _time(text: str, where: str) -> datetime | None:
    """A moment by RFC 3339, which always has a zone; None where there is none."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        at = found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        at = None
    if at is None:
        raise InvalidInput(
            f"{text[:80]!r} is no time by RFC 3339", where=where, fix="write 2026-03-01T12:00:00Z"
        )
    return at
