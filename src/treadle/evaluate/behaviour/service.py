"""Behaviour checks: asking, judging, and scoring again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from treadle.evaluate.behaviour import transcript
from treadle.evaluate.behaviour.asking import Asker, Budget
from treadle.evaluate.behaviour.case_sources import read_cases
from treadle.evaluate.behaviour.cases import Cases, question
from treadle.evaluate.behaviour.journal import Journal
from treadle.evaluate.behaviour.known import Known
from treadle.evaluate.behaviour.planning import plan
from treadle.evaluate.behaviour.running import Gathered, Running
from treadle.evaluate.behaviour.setup import BASELINE, TARGET, Setup, is_earlier
from treadle.evaluate.behaviour.transcript import Transcript
from treadle.evaluate.behaviour.types import Answered
from treadle.evaluate.behaviour.verdicts import Found, judge, metrics
from treadle.evaluate.rules import VERSION, together
from treadle.evaluate.service import Evaluations
from treadle.evaluate.types import Basis, Evaluation, Planned, Verdict
from treadle.evaluate.watching import Watch
from treadle.kernel.config import BehaviourCheck, TargetConfig
from treadle.kernel.config.behaviour_rules import LAST
from treadle.kernel.errors import ConfigError, InvalidInput
from treadle.kernel.ids import digest_bytes
from treadle.kernel.names import did_you_mean
from treadle.kernel.workspace import Workspace

_NAMED = 5
_GOOD = ("pass", "warn")


class _Work(NamedTuple):
    """What is to be judged.

    Attributes:
        name: The check's name.
        check: What it declares.
        cases: Its cases.
        ask: Who is asked: target, baseline, both, or nobody.
        repeats: How many answers a case has, of each side.
        answers: What was answered in earlier evaluations.
        against: What to call the baseline.
        replays: The evaluation whose answers are scored again.
    """

    name: str
    check: BehaviourCheck
    cases: Cases
    ask: tuple[str, ...]
    repeats: dict[str, int]
    answers: tuple[Answered, ...] = ()
    against: str = "the baseline"
    replays: Evaluation | None = None


class Behaviour:
    """The checks of ``[checks.behaviour.NAME]``.

    Args:
        workspace: The workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._evaluations = Evaluations(workspace)

    @property
    def names(self) -> list[str]:
        """The checks that are declared."""
        return list(self._ws.config.checks.behaviour)

    def judge(
        self,
        evaluation_id: str,
        name: str,
        *,
        baseline: str | None = None,
        fresh: bool = False,
        watch: Watch | None = None,
    ) -> Evaluation:
        """Asks all cases of a check, and judges the answers.

        What was asked before an interruption isn't asked again: the same check goes on where it was.

        Args:
            evaluation_id: The evaluation's identity; under a known one nothing is asked.
            name: The check.
            baseline: What it is held against, if not what it declares: the identity of an earlier
                evaluation, or ``last``.
            fresh: Whether to ask everything, also what was answered before an interruption.
            watch: Told how far it is; stops it.

        Raises:
            Cancelled: If the watch stopped it; what was answered is kept.
            ConfigError: If there is no such check, or what it names isn't there.
            InvalidInput: If a case can't be used; nothing was asked then.
            NotFound: If there is no such version or evaluation.
            Unavailable: If the target answers none of the first calls.
            Busy: If another process asks the same right now.
            StorageFull: If answers can't be kept.
            Conflict: If something else was evaluated under this identity.
        """
        if kept := self._evaluations.known(evaluation_id, "behaviour", name):
            return kept
        check = self.declared(name)
        if baseline is not None:
            check = msgspec.structs.replace(check, baseline=baseline)
        return self._run(evaluation_id, self._work(name, check), fresh=fresh, watch=watch)

    def rescore(self, evaluation_id: str, earlier_id: str, *, watch: Watch | None = None) -> Evaluation:
        """Judges the answers of an earlier evaluation again, by what is declared now; the target isn't asked.

        Judges are asked only what they weren't asked before.

        Args:
            evaluation_id: The new evaluation's identity.
            earlier_id: The evaluation whose answers are judged.
            watch: Told how far it is; stops it.

        Raises:
            Cancelled: If the watch stopped it.
            NotFound: If there is no such evaluation, or its answers aren't kept any more.
            InvalidInput: If it isn't one of behaviour, or a case of today wasn't one of its cases.
            ConfigError: If the check isn't declared any more.
            Conflict: If something else was evaluated under this identity.
        """
        earlier = self._evaluations.get(earlier_id)
        told = self.transcript(earlier_id)
        name = earlier.subject
        if kept := self._evaluations.known(evaluation_id, "behaviour", name):
            return kept
        check = self.declared(name)
        cases = read_cases(self._ws, name, check)
        _check_asked(cases, told, earlier_id)
        repeats = {TARGET: _repeats(told.answers, TARGET)}
        if check.baseline is not None and (theirs := _repeats(told.answers, BASELINE)):
            repeats[BASELINE] = theirs
        against = earlier.basis.reference or "the baseline"
        work = _Work(name, check, cases, (), repeats, told.answers, against, earlier)
        return self._run(evaluation_id, work, watch=watch)

    def transcript(self, evaluation_id: str) -> Transcript:
        """All that was asked and answered in an evaluation.

        Raises:
            NotFound: If there is no such evaluation, or its answers aren't kept any more.
            InvalidInput: If it isn't one of behaviour.
        """
        found = self._evaluations.get(evaluation_id)
        if not found.basis.answers:
            raise InvalidInput(
                f"evaluation {evaluation_id!r} has no answers that were kept",
                fix="name one of behaviour: treadle check list",
            )
        return transcript.load(self._ws.readable, found.basis.answers)

    def plan(self, name: str) -> list[Planned]:
        """What a check would ask, what that would cost, and what it could tell; nothing is asked.

        Raises:
            ConfigError: If there is no such check.
            InvalidInput: If a case can't be used.
        """
        check = self.declared(name)
        return plan(check, read_cases(self._ws, name, check), self._newest(name))

    # ── what is to be judged ─────────────────────────────────────────────

    def declared(self, name: str) -> BehaviourCheck:
        """A check, as it is declared.

        Raises:
            ConfigError: If there is none of that name.
        """
        declared = self._ws.config.checks.behaviour
        if name not in declared:
            raise ConfigError(
                f"there is no behaviour check {name!r}",
                where="treadle.toml [checks.behaviour]",
                fix=did_you_mean(name, declared) or f"declare it: [checks.behaviour.{name}]",
            )
        return declared[name]

    def _work(self, name: str, check: BehaviourCheck) -> _Work:
        cases = read_cases(self._ws, name, check)
        repeats = {TARGET: check.repeats}
        if check.baseline is None:
            return _Work(name, check, cases, (TARGET,), repeats)
        if not is_earlier(check.baseline):
            return _Work(name, check, cases, (TARGET, BASELINE), {**repeats, BASELINE: check.repeats})
        earlier = self._earlier(name, str(check.baseline))
        if earlier is None:
            return _Work(name, check, cases, (TARGET,), repeats)
        answers = tuple(_as_baseline(self.transcript(earlier).answers))
        return _Work(
            name,
            check,
            cases,
            (TARGET,),
            {**repeats, BASELINE: _repeats(answers, BASELINE)},
            answers,
            earlier,
        )

    def _earlier(self, name: str, baseline: str) -> str | None:
        """The evaluation whose answers are the baseline."""
        if baseline != LAST:
            return baseline
        good = (one for one in self._evaluations.list(name) if one.outcome in _GOOD and one.basis.answers)
        return next((one.id for one in good), None)

    def _newest(self, name: str) -> Evaluation | None:
        kept = self._evaluations.list(name)
        return next((one for one in kept if one.kind == "behaviour" and one.basis.answers), None)

    # ── judging ──────────────────────────────────────────────────────────

    def _run(
        self, evaluation_id: str, work: _Work, *, fresh: bool = False, watch: Watch | None = None
    ) -> Evaluation:
        folder = self._ws.state / "behaviour"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{work.name}.log"
        with Setup(self._ws.root, log, work.name, work.check, watch or Watch()) as setup:
            asked = {of: setup.side(of, declared) for of, declared in _asked(work)}
            key = _key(work, asked)
            with Journal.opened(folder, work.name, key, fresh=fresh) as journal:
                known = Known(journal, work.answers)
                budget = Budget(work.check.budget, sum(one.cost for one in journal.answers))
                running = Running(work.check, work.cases.cases, setup, asked, work.repeats, known, budget)
                gathered = self._gather(running, journal, known)
                made = self._evaluation(evaluation_id, work, asked, gathered, known, budget, journal)
                kept = self._evaluations.keep(made)
                if gathered.complete:
                    journal.remove()
                return kept

    def _gather(self, running: Running, journal: Journal, known: Known) -> Gathered:
        try:
            return running.gather()
        except BaseException:
            if not any(one.reply.error is None for one in known.all()):
                journal.remove()  # nothing in it is worth going on with
            raise

    def _evaluation(
        self,
        evaluation_id: str,
        work: _Work,
        asked: Mapping[str, Asker],
        gathered: Gathered,
        known: Known,
        budget: Budget,
        journal: Journal,
    ) -> Evaluation:
        check, replays = work.check, work.replays
        against = asked[BASELINE].target.name if BASELINE in asked else work.against
        found = Found(
            gathered.target, gathered.baseline, against, len(work.cases.cases), gathered.planned,
            gathered.complete, budget.spent,
        )  # fmt: skip
        verdicts = [*_history(work, journal), *judge(check, found)]
        told = Transcript(check=work.name, declared=check, cases=work.cases.cases, answers=tuple(known.all()))
        return Evaluation(
            id=evaluation_id,
            kind="behaviour",
            at=self._ws.clock.now(),
            outcome=together(verdicts),
            verdicts=tuple(verdicts),
            subject=work.name,
            baseline=against if gathered.baseline is not None else None,
            data=work.cases.digest,
            metrics=metrics(check, found),
            basis=Basis(
                reference=against if gathered.baseline is not None else "",
                candidate=replays.basis.candidate if replays else _named(asked[TARGET], known),
                code=replays.basis.code if replays else getattr(asked[TARGET].target, "code", ""),
                seed=check.seed,
                treadle=VERSION,
                answers=transcript.keep(self._ws.blobs, told),
                replays=replays.id if replays else "",
            ),
        )


def _asked(work: _Work) -> Iterable[tuple[str, str | TargetConfig]]:
    declared = {TARGET: work.check.target, BASELINE: work.check.baseline}
    for of in work.ask:
        if (one := declared[of]) is not None:
            yield of, one


def _key(work: _Work, asked: Mapping[str, Asker]) -> str:
    """What identifies what is asked, so that answers are only gone on with if nothing of it changed."""
    replays = work.replays.basis.answers if work.replays else ""
    named = sorted((of, asker.identity) for of, asker in asked.items())
    return digest_bytes(msgspec.json.encode((1, named, work.check.seed, replays)))


def _as_baseline(answers: Iterable[Answered]) -> Iterable[Answered]:
    """The answers of a target, as those of a baseline; what was the baseline then is left out."""
    for one in answers:
        if one.of == TARGET:
            yield msgspec.structs.replace(one, of=BASELINE)
        elif one.of != BASELINE:
            yield one


def _repeats(answers: Iterable[Answered], of: str) -> int:
    return max((one.repeat + 1 for one in answers if one.of == of), default=0)


def _named(asker: Asker, known: Known) -> str:
    """The target as it is declared, and as it names itself."""
    models = sorted({one.reply.model for one in known.all() if one.of == TARGET and one.reply.model})
    return f"{asker.target.name} ({', '.join(models)})" if models else asker.target.name


def _check_asked(cases: Cases, told: Transcript, earlier_id: str) -> None:
    """Refuses to score answers again if there is a case that wasn't asked.

    Raises:
        InvalidInput: Naming the cases.
    """
    then = {question(case) for case in told.cases}
    new = [case.id for case in cases.cases if question(case) not in then]
    if new:
        rest = f" and {len(new) - _NAMED:,} more" if len(new) > _NAMED else ""
        raise InvalidInput(
            f"{len(new):,} cases of {cases.name} weren't asked in {earlier_id}, or otherwise: "
            f"{', '.join(new[:_NAMED])}{rest}",
            fix="run the check: only answers to the same questions can be scored again",
        )


def _history(work: _Work, journal: Journal) -> list[Verdict]:
    """That answers are not all of this moment: scored again, or gone on with."""
    if work.replays:
        said = f"Answers of {work.replays.id}, of {work.replays.at:%Y-%m-%d %H:%M} UTC, scored again"
        return [_told("replay", f"{said}; the target wasn't asked.", len(work.answers))]
    if journal.resumed:
        begun = datetime.fromtimestamp(journal.begun.at, UTC)
        said = f"{journal.resumed:,} answers are from a run that began at {begun:%Y-%m-%d %H:%M} UTC"
        return [
            _told("resumed", f"{said} and was interrupted; they weren't asked for again.", journal.resumed)
        ]
    return []


def _told(check: str, sentence: str, count: int) -> Verdict:
    return Verdict(check=check, subject="answers", outcome="pass", sentence=sentence, n=count, unit="answers")
