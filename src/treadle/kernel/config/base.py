"""What the tables of ``treadle.toml`` are made of."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

Scalar: TypeAlias = bool | int | float | str

Duration = Annotated[str, Meta(pattern=r"^(?=.*[1-9])(\d{1,6}(\.\d{1,6})?[smhdw])+$")]
Size = Annotated[str, Meta(pattern=r"^(?=.*[1-9])\d{1,15}(\.\d{1,6})? ?(B|[KMGT]i?B)?$")]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Task = Literal["binary", "regression", "multiclass", "ranking"]
Metric = Literal[
    "roc_auc",
    "log_loss",
    "brier",
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "mae",
    "mse",
    "rmse",
    "pinball",
    "macro_f1",
    "top_k_accuracy",
    "ndcg",
]

METRICS: dict[Task, tuple[Metric, ...]] = {
    "binary": (
        "roc_auc",
        "log_loss",
        "brier",
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "specificity",
        "f1",
    ),
    "regression": ("mae", "mse", "rmse", "pinball"),
    "multiclass": ("accuracy", "macro_f1", "log_loss", "top_k_accuracy"),
    "ranking": ("ndcg",),
}
"""What a model of each task can be judged by."""

SERVED: tuple[Task, ...] = ("binary", "regression")
"""The tasks whose models can be trained, served and monitored; of others, files of predictions are judged."""


class Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: unknown keys are refused."""
