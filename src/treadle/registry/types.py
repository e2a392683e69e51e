"""What a model version is: its passport, which never changes, and a status that has a history."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from treadle.data.types import DataInput

Scalar: TypeAlias = bool | int | float | str
Status: TypeAlias = str
"""``candidate``, ``staging``, ``production``, ``deprecated``, ``refused``, ``archived``, or a stage of
the team's own; in a history also ``deleted``."""
Verdict: TypeAlias = Literal["known", "code", "dangerous"]
Origin = Literal["treadle", "mlflow", "person"]
FieldKind = Literal["float", "int", "string", "bool"]


class Field(msgspec.Struct, frozen=True):
    """A named input column and what it holds."""

    name: str
    kind: FieldKind


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the outputs of a model that gives other than a number a row.

    Attributes:
        name: What it is called.
        kind: What its values are.
        width: How many it has for a row, as a tensor of shape [rows, width]; 0 where it has one, [rows].
        optional: Whether one may be missing.
    """

    name: str
    kind: FieldKind
    width: int = 0
    optional: bool = False


class Signature(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model takes and gives.

    Attributes:
        inputs: The columns, in order.
        output: ``probability`` of a true label, or a ``value``.
        outputs: What it gives, if that is other than one number a row.
    """

    inputs: tuple[Field, ...]
    output: Literal["probability", "value"]
    outputs: tuple[Output, ...] = ()

    @property
    def gives(self) -> tuple[str, ...]:
        """The names of its outputs."""
        return tuple(one.name for one in self.outputs) or (self.output,)

    @property
    def number(self) -> str | None:
        """The output that the prediction log has of it: the probability, or the first that is a number.

        None if there is no such, as of a model that answers with texts.
        """
        if not self.outputs:
            return self.output
        numbers = [one.name for one in self.outputs if one.kind != "string" and not one.optional]
        return self.output if self.output in numbers else next(iter(numbers), None)


class ModelFile(msgspec.Struct, frozen=True, order=True):
    """A file of the model: path within its folder, BLAKE3 of its bytes, size in bytes."""

    path: str
    digest: str
    size: int


class UsedData(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that a run named, as its tracker wrote it.

    Attributes:
        name: Its name.
        digest: What identifies its content, as the tracker computed it.
        context: What it was used for, such as ``training``; empty if that wasn't said.
    """

    name: str
    digest: str
    context: str = ""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version came from that another Treadle made.

    Attributes:
        project: The project there.
        ref: The version there, such as ``flights/3``.
        run: The run that made it there.
        cycle: The cycle that made it there, if any.
        status: Its status there when it was exported.
        treadle: The version of Treadle that wrote the archive.
        archive: BLAKE3 of the archive's manifest: of all that it held.
        at: When it was imported.
        actor: Who imported it.
        signed_by: Which of ``[registry] trusted_keys`` had signed the archive; empty if none had.
    """

    project: str
    ref: str
    run: str
    cycle: str | None = None
    status: str
    treadle: str
    archive: str
    at: datetime
    actor: str
    signed_by: str = ""


class Pickled(msgspec.Struct, frozen=True):
    """A file of a model that is a pickle, or holds some.

    Attributes:
        path: The file; with ``:`` and its name, one within an archive.
        verdict: ``known``: it imports names of libraries of models only; ``code``: it brings code
            along, imports other names or can't be read to its end; ``dangerous``: it imports what
            starts programs, opens files or connections or runs text, or hides what it imports.
        names: What made the verdict.
    """

    path: str
    verdict: Verdict
    names: tuple[str, ...] = ()


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
        used: Datasets that its run named but that aren't rows of a version kept here.
        interface: What it takes and gives in MLflow's own words, as JSON, where it has these.
        example: The file among its files that holds an example of what it takes.
        flavors: How MLflow can load it, such as ``python_function`` and ``sklearn``.
        pickles: The pickles among its files, and what they would import.
        curves: The metrics of its run: their values step by step are its learning curves.
        licence: Under which licence it may be used.
        hardware: What it needs to run.
        owner: Who answers for it.
        made_by: Who had it made.
        imported: Where it came from, if another Treadle made it.
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
    used: tuple[UsedData, ...] = ()
    interface: str = ""
    example: str = ""
    flavors: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()
    pickles: tuple[Pickled, ...] = ()
    licence: str = ""
    hardware: str = ""
    owner: str = ""
    made_by: str = ""
    imported: Imported | None = None

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


class NewVersion(Passport, frozen=True, kw_only=True):
    """A version to be registered.

    Attributes:
        model: The model's name.
        run: The run that made it; a run is registered once.
        description: Words about it, which can be changed.
    """

    model: str
    run: str
    description: str = ""


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a run that somebody registers.

    Attributes:
        model: The model's name; made if there is none. The project's own when left out.
        run: The run that logged it.
        path: The folder among the run's files that holds it.
        licence: Under which licence it may be used.
        hardware: What it needs to run.
        owner: Who answers for it.
        description: Words about it.
        tags: Anything else worth knowing.
        actor: Who registers it.
    """

    run: str
    model: str | None = None
    path: str = "model"
    licence: str = ""
    hardware: str = ""
    owner: str = ""
    description: str = ""
    tags: dict[str, str] = {}
    actor: str = ""


class ModelVersion(NewVersion, frozen=True, kw_only=True):
    """A registered version, whoever registered it.

    Attributes:
        number: Counts the model's versions from 1.
        id: BLAKE3 over files and recipe: what the version *is*; empty if its files aren't known.
        created_at: When it was registered.
        status: Where it stands now.
        approved_by: Who let it into production.
        origin: Whether Treadle's cycle made it, or an MLflow client or a person registered it.
        governed: Whether it moves through its states under their guards only. One that an MLflow
            client registered does so from the moment at which Treadle puts it to work.
        source: Where its files are, as whoever registered it said.
        logged_model: The logged model that it is, if it is one.
        updated_at: When its row, description or status was changed last.
        tags: Anything else worth knowing.
        aliases: The aliases that name it.
        missing: The parts of a passport that aren't known of it.
    """

    number: int
    id: str
    created_at: datetime
    status: Status
    approved_by: str | None = None
    origin: Origin = "treadle"
    governed: bool = True
    source: str = ""
    logged_model: str = ""
    updated_at: datetime | None = None
    tags: dict[str, str] = {}
    aliases: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

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
    after: Status
    at: datetime
    actor: str
    reason: str
    override: bool = False


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's word that a version may go to a stage.

    Attributes:
        id: Its identity.
        model: The model.
        number: The version that was looked at.
        stage: Where it may go.
        actor: Who said so.
        reason: Why.
        at: When.
        withdrawn_at: When it was taken back; None while it stands.
        withdrawn_by: Who took it back.
        withdrawn_reason: Why.
    """

    id: str
    model: str
    number: int
    stage: str
    actor: str
    reason: str
    at: datetime
    withdrawn_at: datetime | None = None
    withdrawn_by: str = ""
    withdrawn_reason: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version stands on its way to production.

    Attributes:
        ref: The version.
        status: Its status.
        next: Where it goes next; None if nowhere.
        approvals: All approvals of it, the withdrawn ones too, oldest first.
        given: How many count for where it goes next.
        needed: How many it takes.
        may: Who may approve; empty if anybody may.
    """

    ref: str
    status: Status
    next: str | None
    approvals: tuple[Approval, ...] = ()
    given: int = 0
    needed: int = 0
    may: tuple[str, ...] = ()
