"""What the tables of ``treadle.toml`` are made of."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

Scalar: TypeAlias = bool | int | float | str

Duration = Annotated[str, Meta(pattern=r"^(?=.*[1-9])(\d{1,6}(\.\d{1,6})?[smhdw])+$")]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[int, Meta(ge=1)]
Task = Literal["binary", "regression"]
Metric = Literal["roc_auc", "log_loss", "brier", "accuracy", "mae", "mse"]

METRICS: dict[Task, tuple[Metric, ...]] = {
    "binary": ("roc_auc", "log_loss", "brier", "accuracy"),
    "regression": ("mae", "mse"),
}


class Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: unknown keys are refused."""
