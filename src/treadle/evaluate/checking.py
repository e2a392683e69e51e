"""What ``treadle check`` does: finds what shall be checked, judges it once, and keeps what was found."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from treadle.data import DataInput, Datasets
from treadle.evaluate.behaviour.service import Behaviour
from treadle.evaluate.data.arrivals import Whole
from treadle.evaluate.data.expectations import import_expectations
from treadle.evaluate.data.pandera import import_pandera
from treadle.evaluate.data.suggest import suggest_suite
from treadle.evaluate.data.writing import as_toml
from treadle.evaluate.parts import Part
from treadle.evaluate.planning import plan_model
from treadle.evaluate.predicted import predicted
from treadle.evaluate.rules import VERSION, aggregate
from treadle.evaluate.service import Evaluations
from treadle.evaluate.sources import Rows, rows_of
from treadle.evaluate.types import (
    Basis,
    CheckPlan,
    CheckRequest,
    CheckResult,
    Evaluation,
    ForeignSuite,
    Planned,
    Verdict,
    WrittenChecks,
)
from treadle.evaluate.watching import Watch
from treadle.kernel.config import Config
from treadle.kernel.errors import ConfigError, InvalidInput, NotFound
from treadle.kernel.ids import digest_bytes
from treadle.kernel.workspace import Workspace
from treadle.registry import ModelVersion, Registry

_LENGTH = 16


class Checks:
    """Checks that somebody asks for, beside those that a cycle makes.

    The same data judged by the same checks is judged once: whoever asks again gets what was found then.

    Args:
        workspace: The workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace

    def run(self, asked: CheckRequest, watch: Watch | None = None) -> CheckResult:
        """Judges, and keeps what was found.

        Args:
            asked: What is checked.
            watch: Told how far the asking is; stops it.

        Raises:
            Cancelled: If the watch stopped it.
            ConfigError: If there is nothing to check, or a check can't be meant.
            NotFound: If there is no such data or model version.
            InvalidInput: If what is judged can't be used.
            CorruptData: If a file can't be read.
        """
        found, kept = [], []
        watch = watch or Watch()
        asking, evaluations = _Asking(self._ws, asked, watch), Evaluations(self._ws)
        for part in asking.parts()[0]:
            watch.look()
            identity = asking.identity(part)
            try:
                evaluation = evaluations.get(identity)
                kept.append(identity)
            except NotFound:
                evaluation = part.judge(identity)
            found.append(evaluation)
        return CheckResult(
            outcome=aggregate(one.outcome for one in found), evaluations=tuple(found), kept=tuple(kept)
        )

    def plan(self, asked: CheckRequest) -> CheckPlan:
        """Says what would be tested and what the data at hand can tell; judges nothing.

        Raises:
            ConfigError: If there is nothing to check, or a check can't be meant.
            NotFound: If there is no such data or model version.
            InvalidInput: If what would be judged can't be used.
            CorruptData: If a file can't be read.
        """
        parts, notes = _Asking(self._ws, asked, Watch()).parts()
        return CheckPlan(planned=tuple(one for part in parts for one in part.plan()), notes=tuple(notes))

    def suggest(self, data: str) -> WrittenChecks:
        """Checks that some rows pass, for a person to prune.

        Args:
            data: A version, a dataset, or a file or folder; see :class:`CheckRequest`.

        Raises:
            NotFound: If there is no such data.
            InvalidInput: If there are no rows.
            CorruptData: If a file can't be read.
        """
        rows = rows_of(self._ws, data)
        return WrittenChecks(toml=suggest_suite(rows.files, engine=self._ws.engine))

    def take_in(self, suite: ForeignSuite) -> WrittenChecks:
        """Checks as Great Expectations or Pandera write them, as far as they can be said here.

        Raises:
            InvalidInput: If it is neither, or a value is none that a check takes.
        """
        take = import_expectations if '"expectations"' in suite.text else import_pandera
        found = take(suite.text, suite.where)
        return WrittenChecks(toml=as_toml(found.checks), unsaid=found.unsaid)


class _Asking:
    """What somebody asks for, and what there is to check of it."""

    def __init__(self, workspace: Workspace, asked: CheckRequest, watch: Watch) -> None:
        self._ws, self._asked, self._watch = workspace, asked, watch
        config = workspace.config
        self._config = msgspec.structs.replace(config, checks=asked.checks) if asked.checks else config
        self._evaluations = Evaluations(workspace, self._config)

    def parts(self) -> tuple[list[Part], list[str]]:
        """The kinds of checks that there is something for; and what isn't checked, and why.

        Raises:
            ConfigError: If there is none.
            InvalidInput: If what is asked for doesn't fit together.
        """
        asked = self._asked
        if asked.against and not asked.model:
            raise InvalidInput("there is no model to compare", fix="name it: --model flights/4")
        if asked.rescore:
            return [self._rescored(asked.rescore)], []
        wanted = asked.only or (("behaviour",) if asked.behaviour else ("data", "model", "behaviour"))
        parts, notes = [], []
        if "data" in wanted:
            if asked.data or self._config.train is not None:
                parts.append(self._data())
            else:
                notes.append("No data is checked: name it (--data), or say in [train] what is trained on.")
        if "model" in wanted:
            models = self._models()
            parts += models
            if not models:
                notes.append(
                    "No model is judged: name one (--model flights/4), or say in [checks.predictions] "
                    "where its predictions are."
                )
        if "behaviour" in wanted:
            parts += self._behaviour()
        if not parts:
            raise ConfigError("there is nothing to check", where="treadle.toml", fix=" ".join(notes))
        return parts, notes

    def _models(self) -> list[Part]:
        """A version that is named, and predictions that are named or declared.

        Raises:
            ConfigError: If predictions are named and nothing says what their columns are.
        """
        asked, declared = self._asked, self._config.checks.predictions
        if (asked.predictions or asked.baseline) and declared is None:
            raise ConfigError(
                "nothing says what the columns of predictions are",
                where="treadle.toml",
                fix="add [checks.predictions] with path, label and candidate",
            )
        parts = [self._model()] if asked.model else []
        if declared is not None and (asked.predictions or asked.baseline or not asked.model):
            parts.append(predicted(self._ws, self._config, asked))
        return parts

    def identity(self, part: Part) -> str:
        """Of what a part would find: the same for the same data and checks, unless judged anew."""
        if self._asked.again or part.same is None:
            return self._ws.ids.new("eval")
        same = (part.kind, VERSION, self._config.checks, self._config.project.task, *part.same)
        return f"eval_{digest_bytes(msgspec.json.encode(same, order='sorted'))[:_LENGTH]}"

    def _data(self) -> Part:
        asked, train = self._asked, self._config.train
        rows = rows_of(self._ws, asked.data or (train.data if train else ""))
        reference = rows_of(self._ws, asked.reference) if asked.reference else self._trained_on()
        basis = Basis(reference=reference.name if reference else "", seed=asked.seed, treadle=VERSION)
        # How old the rows are, and which of their days are whole, is another question every time; how many
        # there should be, beside other versions, too.
        checks = self._config.checks.data
        dated = checks.freshness is not None or checks.max_volume_change is not None
        now = (self._ws.clock.now(), sorted((rows.history or {}).items())) if dated else None
        trained = (train.features, train.data) if train else ()
        same = (rows.digest, reference.digest if reference else "", *trained, now)

        def judge(identity: str) -> Evaluation:
            files = reference.files if reference else None
            return self._evaluations.check_data(
                identity,
                rows.files,
                rows.name,
                files,
                rows.digest,
                basis,
                history=rows.history,
                whole=Whole(rows.files),
            )

        def plan() -> list[Planned]:
            files = reference.files if reference else None
            return self._evaluations.checking(rows.files, files, history=rows.history).plan()

        return Part("data", same, judge, plan)

    def _behaviour(self) -> list[Part]:
        """The checks of behaviour; what they run is for the project to say, not for a request.

        Raises:
            InvalidInput: If the request declares some.
            ConfigError: If there is none of a name.
        """
        given = self._asked.checks
        if given is not None and given.behaviour:
            raise InvalidInput(
                "checks of behaviour can't come with a request",
                fix="declare them in treadle.toml: [checks.behaviour.NAME]",
            )
        behaviour = Behaviour(self._ws)
        names = self._asked.behaviour or (behaviour.names if given is None else ())
        for name in names:
            behaviour.declared(name)
        return [
            Part(
                "behaviour",
                None,
                partial(behaviour.judge, name=name, fresh=self._asked.again, watch=self._watch),
                partial(behaviour.plan, name),
            )
            for name in names
        ]

    def _rescored(self, earlier: str) -> Part:
        behaviour = Behaviour(self._ws)
        name = self._evaluations.get(earlier).subject
        return Part(
            "behaviour",
            None,
            partial(behaviour.rescore, earlier_id=earlier, watch=self._watch),
            partial(behaviour.plan, name),
        )

    def _trained_on(self) -> Rows | None:
        """The rows that production was trained on, while they can still be had."""
        production = Registry(self._ws).production(self._config.model)
        found = _input(production, "train") if production else None
        if production is None or found is None:
            return None
        try:
            return Rows(
                f"what {production.ref} was trained on", found.digest, [self._cut(production, "train")]
            )
        except NotFound:
            return None

    def _model(self) -> Part:
        asked, registry = self._asked, Registry(self._ws)
        candidate = registry.get(asked.model)
        against = registry.get(asked.against) if asked.against else registry.production(candidate.model)
        if against is not None and against.ref == candidate.ref:
            against = None
        held_out = _input(candidate, "holdout")
        if held_out is None:
            raise InvalidInput(
                f"{candidate.ref} says nothing of held-out rows", fix="judge one that a cycle has made"
            )
        basis = Basis(candidate=candidate.ref, code=candidate.code, seed=asked.seed, treadle=VERSION)
        config = _without_recipe(self._config)

        def judge(identity: str) -> Evaluation:
            path = self._cut(candidate, "holdout")
            holdout = self._evaluations.load_holdout(path)
            theirs = registry.load(against).predict(holdout.inputs) if against else None
            return Evaluations(self._ws, config).judge(
                identity,
                subject=candidate.ref,
                holdout=holdout,
                candidate=registry.load(candidate).predict(holdout.inputs),
                beside=self._overlap(candidate, path),
                production=theirs,
                data=held_out.digest,
                baseline=against.ref if against else None,
                seed=asked.seed,
                basis=basis,
            )

        def plan() -> list[Planned]:
            holdout = self._evaluations.load_holdout(self._cut(candidate, "holdout"))
            theirs = registry.load(against).predict(holdout.inputs) if against else None
            return plan_model(config, holdout, against.ref if against else None, theirs)

        same = (held_out.digest, candidate.id, against.id if against else "", asked.seed)
        return Part("model", same, judge, plan)

    def _overlap(self, version: ModelVersion, holdout: Path) -> list[Verdict]:
        """Whether held-out rows were trained on, while those can still be had."""
        if _input(version, "train") is None:
            return []
        try:
            return self._evaluations.overlap(holdout, self._cut(version, "train"))
        except NotFound:
            return []

    def _cut(self, version: ModelVersion, role: str) -> Path:
        found = _input(version, role)
        assert found is not None  # noqa: S101 - whoever asks has looked
        return Datasets(self._ws).slice(found.spec, found.role)[1]


def _without_recipe(config: Config) -> Config:
    """Recipes are compared by the seeds that a cycle trains; a version is one of them."""
    performance = msgspec.structs.replace(config.checks.performance, recipe=False)
    checks = msgspec.structs.replace(config.checks, performance=performance)
    return msgspec.structs.replace(config, checks=checks)


def _input(version: ModelVersion, role: str) -> DataInput | None:
    return next((one for one in version.data if one.role == role), None)
