"""How MLflow writes things down, read leniently: its stores differ from version to version. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from treadle.experiment import LoggedStatus
from treadle.experiment.types import Lifecycle, RunInput, RunStatus
from treadle.kernel.errors import CorruptData
from treadle.registry import CatalogVersion, Stage

CONTEXT_TAG = "mlflow.data.context"
NAME_TAG = "mlflow.runName"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATUSES: tuple[RunStatus, ...] = ("running", "scheduled", "finished", "failed", "killed")
GOING_ON = ("running", "scheduled")
_MODEL_STATUSES: tuple[LoggedStatus, ...] = ("unspecified", "pending", "ready", "failed")
_MODEL_NAMES: dict[str, LoggedStatus] = {
    "LOGGED_MODEL_STATUS_UNSPECIFIED": "unspecified",
    "LOGGED_MODEL_PENDING": "pending",
    "LOGGED_MODEL_READY": "ready",
    "LOGGED_MODEL_UPLOAD_FAILED": "failed",
}
_STAGES: dict[str, Stage] = {
    "none": "None",
    "staging": "Staging",
    "production": "Production",
    "archived": "Archived",
}
_LOGGED = re.compile(r"models:/+(m-[0-9a-f]{32})/?")
_OF_RUN = re.compile(r"(?:^|/)([0-9a-f]{32})/artifacts(?:/(.*))?$")
_OF_MODEL = re.compile(r"(?:^|/)models/(m-[0-9a-f]{32})/artifacts(?:/(.*))?$")


def run_status(found: Any) -> RunStatus:
    """A run's status from its name or its number.

    Raises:
        CorruptData: If it is neither.
    """
    text = str(found).lower()
    if text in _STATUSES:
        return text
    if text.isascii() and text.isdigit() and 0 < int(text) <= len(_STATUSES):
        return _STATUSES[int(text) - 1]
    raise CorruptData(f"{found!r:.80} is no status of a run")


def model_status(found: Any) -> LoggedStatus:
    """A logged model's status from its name or its number.

    Raises:
        CorruptData: If it is neither.
    """
    text = str(found)
    if text in _MODEL_NAMES:
        return _MODEL_NAMES[text]
    if text.isascii() and text.isdigit() and int(text) < len(_MODEL_STATUSES):
        return _MODEL_STATUSES[int(text)]
    raise CorruptData(f"{found!r:.80} is no status of a logged model")


def status_number(status: RunStatus) -> int:
    """A run's status as its number."""
    return _STATUSES.index(status) + 1


def model_status_number(status: LoggedStatus) -> int:
    """A logged model's status as its number."""
    return _MODEL_STATUSES.index(status)


def lifecycle(found: Any) -> Lifecycle:
    """Whether something was deleted; what says nothing wasn't."""
    return "deleted" if str(found or "active").lower() == "deleted" else "active"


def stage(found: Any) -> Stage:
    """A version's stage; what says nothing is in none."""
    return _STAGES.get(str(found or "None").lower(), "None")


def moment(milliseconds: Any) -> datetime | None:
    """A moment in milliseconds since 1970; None stays None.

    Raises:
        CorruptData: If it is none.
    """
    if milliseconds is None or milliseconds == "":
        return None
    try:
        return _EPOCH + timedelta(milliseconds=int(milliseconds))
    except (ValueError, OverflowError):
        raise CorruptData(f"{milliseconds!r:.80} is no time in milliseconds since 1970") from None


def moment_or_epoch(milliseconds: Any) -> datetime:
    """As :func:`moment`; the beginning of 1970 for what says nothing."""
    return moment(milliseconds) or _EPOCH


def to_ms(at: datetime) -> int:
    """A moment as milliseconds since 1970."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def run_name(given: Any, tags: Mapping[str, str], run: str) -> str:
    """A run's name, which older stores keep as a tag only, or not at all."""
    return str(given or tags.get(NAME_TAG) or run[:8])


def logged_model(source: str) -> str:
    """The logged model that a version's source names; empty if it names none."""
    found = _LOGGED.fullmatch(source)
    return found[1] if found else ""


def owned(uri: str) -> tuple[str, str, str] | None:
    """Whose files a URI names, wherever they lay: ``run`` or ``model``, its identifier, and the path.

    None if it names none in the way in which MLflow lays them out.
    """
    plain = uri.rstrip("/")
    found = _OF_MODEL.search(plain)
    if found:
        return "model", found[1], found[2] or ""
    found = _OF_RUN.search(plain)
    return ("run", found[1], found[2] or "") if found else None


def dataset(data: dict[str, Any], tags: dict[str, str]) -> RunInput:
    """A dataset as MLflow keeps it, with the tags of its use."""
    context = tags.pop(CONTEXT_TAG, "")
    return RunInput(
        name=str(data["name"]),
        digest=str(data["digest"]),
        source_type=str(data.get("source_type") or ""),
        source=str(data.get("source") or ""),
        schema=data.get("schema"),
        profile=data.get("profile"),
        context=context,
        tags=tags,
    )


def version(meta: dict[str, Any], tags: dict[str, str]) -> CatalogVersion:
    """A version as MLflow keeps it."""
    created = moment_or_epoch(meta.get("creation_timestamp"))
    source = str(meta.get("source") or "")
    return CatalogVersion(
        model=str(meta["name"]),
        number=int(meta["version"]),
        created_at=created,
        updated_at=moment(meta.get("last_updated_timestamp")) or created,
        description=str(meta.get("description") or ""),
        stage=stage(meta.get("current_stage")),
        source=source,
        storage=str(meta.get("storage_location") or source),
        run=str(meta.get("run_id") or ""),
        run_link=str(meta.get("run_link") or ""),
        logged_model=str(meta.get("model_id") or logged_model(source)),
        tags=tags,
    )


def model_status_name(status: LoggedStatus) -> str:
    """A logged model's status as its name."""
    return list(_MODEL_NAMES)[_MODEL_STATUSES.index(status)]
