"""What a logged model is: files with a name that a run made, and what was measured of it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from treadle.experiment.types import Lifecycle, Value

LoggedStatus = Literal["unspecified", "pending", "ready", "failed"]


class ModelMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a run measured of a logged model.

    Attributes:
        model: The logged model.
        name: The metric.
        value: What was measured.
        at: When, in microseconds since 1970.
        step: At which step.
        run: The run.
        dataset_name: On which dataset; empty if that wasn't said.
        dataset_digest: On which version of it; empty if that wasn't said.
    """

    model: str
    name: str
    value: Value
    at: int
    step: int = 0
    run: str
    dataset_name: str = ""
    dataset_digest: str = ""


class LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was logged.

    Attributes:
        id: Its identifier, which begins with ``m-``.
        experiment: The identifier of its experiment.
        name: A name for people; several models may have it.
        artifacts: Where its files are, as a URI.
        status: Whether its files are all there.
        message: Why they aren't.
        model_type: What kind of model it is, as its maker says.
        run: The run that made it, if one did.
        lifecycle: Whether it was deleted.
        created_at: When it was made.
        updated_at: When it was changed last.
        deleted_at: When it was deleted.
        params: Its parameters, which never change.
        tags: Anything else worth knowing.
        metrics: Everything measured of it.
    """

    id: str
    experiment: str
    name: str
    artifacts: str
    status: LoggedStatus = "pending"
    message: str | None = None
    model_type: str = ""
    run: str = ""
    lifecycle: Lifecycle = "active"
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: tuple[ModelMetric, ...] = ()


class DatasetFilter(msgspec.Struct, frozen=True):
    """A dataset on which a model must have been measured; its version too unless that is empty."""

    name: str
    digest: str = ""


class LoggedModelPage(msgspec.Struct, frozen=True):
    """Some of the logged models that were searched for; the token asks for more, if there are."""

    models: list[LoggedModel]
    token: str | None = None
