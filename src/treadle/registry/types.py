"""What a model version is: its passport, which never changes, and a status that has a history."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from treadle.data.types import DataInput

Scalar: TypeAlias = bool | int | float | str
Status = Literal["candidate", "staging", "production", "deprecated", "refused", "archived"]
Origin = Literal["treadle", "mlflow"]
FieldKind = Literal["float", "int", "string", "bool"]


class Field(msgspec.Struct, frozen=True):
    """A named input column and what it holds."""

    name: str
    kind: FieldKind


class Signature(msgspec.Struct, frozen=True):
    """What a model takes and gives.

    Attributes:
        inputs: The columns, in order.
        output: ``probability`` of a true label, or a ``value``.
    """

    inputs: tuple[Field, ...]
    output: Literal["probability", "value"]


class ModelFile(msgspec.Struct, frozen=True, order=True):
    """A file of the model: path within its folder, BLAKE3 of its bytes, size in bytes."""

    path: str
    digest: str
    size: int


class Passport(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of how a version was made and judged; what isn't known is empty.

    Attributes:
        recipe: The recipe's identity.
        code: The code version.
        environment: The environment's digest.
        cycle: The cycle that made it, if any.
        seed: The seed of the replica chosen.
        data: What it was trained and judged on.
        params: Hyperparameters.
        metrics: Final metrics.
        signature: What it takes and gives.
        files: The model's files, in the blob store.
        evaluations: The evaluations that it went through.
        profile: Blob with the reference profile of inputs and predictions, for monitoring.
        serve: The deployment configuration: host, port and limits, as text by name.
    """

    recipe: str = ""
    code: str = ""
    environment: str = ""
    seed: int | None = None
    data: tuple[DataInput, ...] = ()
    params: dict[str, Scalar] = {}
    metrics: dict[str, float] = {}
    signature: Signature | None = None
    files: tuple[ModelFile, ...] = ()
    evaluations: tuple[str, ...] = ()
    profile: str = ""
    serve: dict[str, str] = {}
    cycle: str | None = None

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


class NewVersion(Passport, frozen=True, kw_only=True):
    """A version to be registered.

    Attributes:
        model: The model's name.
        run: The run that made it; a run is registered once.
    """

    model: str
    run: str


class ModelVersion(NewVersion, frozen=True, kw_only=True):
    """A registered version, whoever registered it.

    Attributes:
        number: Counts the model's versions from 1.
        id: BLAKE3 over files and recipe: what the version *is*; empty if its files aren't known.
        created_at: When it was registered.
        status: Where it stands now.
        approved_by: Who let it into production.
        origin: Whether Treadle made it, or an MLflow client registered it.
        governed: Whether it moves through its states under their guards only. One that an MLflow
            client registered does so from the moment at which Treadle puts it to work.
        description: Words about it.
        source: Where its files are, as whoever registered it said.
        logged_model: The logged model that it is, if it is one.
        updated_at: When its row, description or status was changed last.
        tags: Anything else worth knowing.
        aliases: The aliases that name it.
    """

    number: int
    id: str
    created_at: datetime
    status: Status
    approved_by: str | None = None
    origin: Origin = "treadle"
    governed: bool = True
    description: str = ""
    source: str = ""
    logged_model: str = ""
    updated_at: datetime | None = None
    tags: dict[str, str] = {}
    aliases: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """How people write it: ``flights/3``."""
        return f"{self.model}/{self.number}"


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A change of status.

    Attributes:
        model: The model.
        number: The version.
        before: The status that it had; None at registration.
        after: The status that it has since; ``deleted`` if an MLflow client deleted it.
        at: When it took effect.
        actor: Who decided.
        reason: Why.
        override: Whether it went to production although its gate had not let it pass.
    """

    model: str
    number: int
    before: Status | None
    after: Status | Literal["deleted"]
    at: datetime
    actor: str
    reason: str
    override: bool = False
