"""What a cycle has come to so far: written after each stage, read by the next."""

from __future__ import annotations

import msgspec

from treadle.data.types import DataInput
from treadle.registry.types import ModelFile, Signature
from treadle.train.types import Recipe, Training


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The results of the finished stages.

    Attributes:
        train: The rows to train on.
        holdout: The rows to judge on.
        version: The dataset version, as people write it.
        recipe: What the model is made by.
        recipe_id: The recipe's identity.
        trainings: The replicas that were trained.
        files: The chosen replica's model files.
        signature: What the chosen model takes and gives.
        metrics: Its metrics on the held-out rows.
        profile: Blob with the reference profile.
        data_evaluation: The verdicts on the data.
        model_evaluation: The verdicts on the model.
        number: The model version registered.
        revision: The deployment made.
    """

    train: DataInput | None = None
    holdout: DataInput | None = None
    version: str = ""
    recipe: Recipe | None = None
    recipe_id: str = ""
    trainings: tuple[Training, ...] = ()
    files: tuple[ModelFile, ...] = ()
    signature: Signature | None = None
    metrics: dict[str, float] = {}
    profile: str = ""
    data_evaluation: str = ""
    model_evaluation: str = ""
    number: int = 0
    revision: int = 0
