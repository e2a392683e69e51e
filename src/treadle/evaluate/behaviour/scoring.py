"""Scoring answers: what can be told at once, and what models and functions have to be asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from treadle.evaluate.behaviour.asking import Asker, Budget, Job, ask_all, at_once
from treadle.evaluate.behaviour.cases import scorers_of
from treadle.evaluate.behaviour.known import Known
from treadle.evaluate.behaviour.outcomes import Result
from treadle.evaluate.behaviour.scorers.judge import TRIES, Judge, off_form
from treadle.evaluate.behaviour.scorers.numbers import Number
from treadle.evaluate.behaviour.scorers.port import Scorer
from treadle.evaluate.behaviour.scorers.python import Python
from treadle.evaluate.behaviour.scorers.schema import JsonSchema
from treadle.evaluate.behaviour.scorers.similarity import Embedded, Similar, Words, characters, wanted
from treadle.evaluate.behaviour.scorers.text import Contains, Exact, Regex
from treadle.evaluate.behaviour.setup import Setup
from treadle.evaluate.behaviour.targets.port import Call, seed_of
from treadle.evaluate.behaviour.types import Answered, Case, Score
from treadle.kernel.config import BehaviourCheck, ScorerConfig
from treadle.kernel.ids import digest_bytes

_TEXTS = 64
_AT_ONCE = 8


class _Task(NamedTuple):
    """An answer that a scorer is to look at.

    Attributes:
        case: Its case.
        answered: It.
        config: The scorer, as it is for this case.
        scores: Where the score belongs.
    """

    case: Case
    answered: Answered
    config: ScorerConfig
    scores: dict[str, Score]


class _Prompt(NamedTuple):
    """What a judge is told.

    Attributes:
        judge: Reads what it says.
        case: The case, or one of several that are told alike.
        tasks: The answers that it is about.
    """

    judge: Judge
    case: Case
    tasks: list[_Task]


class Scoring:
    """All scorers of a check.

    Args:
        check: What is declared.
        cases: All cases.
        setup: What is asked.

    Raises:
        ConfigError: If a scorer can't be made.
    """

    def __init__(self, check: BehaviourCheck, cases: Sequence[Case], setup: Setup) -> None:
        self._check, self._setup = check, setup
        self._made: dict[bytes, Scorer] = {}
        self._words = Words(text for case in cases if case.expected is not None for text in wanted(case))
        self._judges: dict[str, Mapping[str, Asker]] = {}
        self._vectors: dict[str, tuple[Embedded, Asker]] = {}
        for name, config in check.scorers.items():
            if config.kind == "judge":
                self._judges[name] = setup.judges(name, Judge(config, list(check.judges)))
            elif config.embedding is not None:
                self._vectors[name] = (Embedded(), setup.embedding(name, config.embedding))
            else:
                self._scorer(name, config)

    def score(self, answers: Iterable[tuple[Case, Answered]], known: Known, budget: Budget) -> list[Result]:
        """What all scorers say of some answers.

        Args:
            answers: The answers, with their cases.
            known: What judges said before; what they say now is added.
            budget: What may be spent on judges.
        """
        tasks: dict[str, list[_Task]] = {name: [] for name in self._check.scorers}
        results = []
        for case, answered in answers:
            scores: dict[str, Score] = {}
            results.append(Result(answered, scores))
            if answered.reply.error is None:
                for name, config in scorers_of(case, self._check).items():
                    tasks[name].append(_Task(case, answered, config, scores))
        for name, some in tasks.items():
            if name in self._judges:
                self._judge(name, some, known, budget)
            elif name in self._vectors:
                self._compare(name, some, budget)
            elif self._check.scorers[name].kind == "python":
                self._call(name, some)
            else:
                for task in some:
                    self._setup.watch.look()
                    task.scores[name] = self._look(name, task)
        return results

    # ── at once ──────────────────────────────────────────────────────────

    def _look(self, name: str, task: _Task) -> Score:
        return self._scorer(name, task.config).score(task.case, task.answered.reply.value)

    def _scorer(self, name: str, config: ScorerConfig) -> Scorer:
        key = msgspec.json.encode((name, config), order="deterministic")
        if key not in self._made:
            self._made[key] = self._make(name, config)
        return self._made[key]

    def _make(self, name: str, config: ScorerConfig) -> Scorer:
        where = f"{self._setup.where} scorers.{name}"
        makers: dict[str, Callable[[], Scorer]] = {
            "exact": lambda: Exact(config),
            "regex": lambda: Regex(config, self._setup.matcher),
            "contains": lambda: Contains(config),
            "number": lambda: Number(config),
            "json_schema": lambda: JsonSchema(config, self._setup.root, where, self._setup.matcher),
            "similarity": lambda: Similar(self._words if config.by == "words" else characters),
            "python": lambda: Python(config, self._setup.host, where),
        }
        return makers[config.kind]()

    # ── by asking ────────────────────────────────────────────────────────

    def _call(self, name: str, tasks: Sequence[_Task]) -> None:
        """Has functions score, several at once."""

        def look(task: _Task) -> None:
            task.scores[name] = self._look(name, task)

        work = [partial(look, task) for task in tasks]
        at_once(work, _AT_ONCE, self._setup.stop, self._setup.watch.look)

    def _compare(self, name: str, tasks: Sequence[_Task], budget: Budget) -> None:
        """Asks for the vectors that are missing, many texts at a time, and compares."""
        scorer, asker = self._vectors[name]
        missing = {
            text: None for task in tasks for text in scorer.unknown(task.case, task.answered.reply.value)
        }
        texts = list(missing)
        batches = [texts[start : start + _TEXTS] for start in range(0, len(texts), _TEXTS)]
        calls = [Call(key=str(place), repeat=0, input=batch, seed=0) for place, batch in enumerate(batches)]

        def learn(answered: Answered) -> None:
            reply = answered.reply
            why = f"{asker.target.name}: {reply.detail or reply.error}" if reply.error else ""
            scorer.learn(batches[int(answered.key)], reply.value, why)

        if calls:
            ask_all([Job(asker, calls)], budget, self._setup.stop, learn, self._setup.watch.look)
        for task in tasks:
            task.scores[name] = scorer.score(task.case, task.answered.reply.value)

    def _judge(self, name: str, tasks: Sequence[_Task], known: Known, budget: Budget) -> None:
        """Asks the judges, again if they don't keep to the form; the same answer is judged once."""
        prompts: dict[str, _Prompt] = {}
        for task in tasks:
            judge = Judge(task.config, list(self._check.judges))
            told = judge.prompt(task.case, task.answered.reply.value)
            prompts.setdefault(told, _Prompt(judge, task.case, [])).tasks.append(task)
        for turn in range(TRIES):
            jobs = [
                Job(asker, self._questions(asker, prompts, turn, known))
                for asker in self._judges[name].values()
            ]
            if not any(job.calls for job in jobs):
                break
            jobs = [job for job in jobs if job.calls]
            ask_all(jobs, budget, self._setup.stop, known.add, self._setup.watch.look)
        for told, prompt in prompts.items():
            score = self._vote(name, prompt.judge, told, known)
            for task in prompt.tasks:
                task.scores[name] = score

    def _questions(self, asker: Asker, prompts: Mapping[str, _Prompt], turn: int, known: Known) -> list[Call]:
        """What a judge is still to be asked: what has no score yet."""
        found = []
        for told, prompt in prompts.items():
            key = _key(asker, told)
            if known.get(asker.of, key, turn) is None and _said(asker, prompt.judge, told, known)[0] is None:
                seed = seed_of(self._check.seed, key, turn)
                found.append(Call(key=key, repeat=turn, input=told, seed=seed, case=prompt.case))
        return found

    def _vote(self, name: str, judge: Judge, told: str, known: Known) -> Score:
        votes: dict[str, float] = {}
        missing: dict[str, str] = {}
        for who, asker in self._judges[name].items():
            value, why = _said(asker, judge, told, known)
            if value is None:
                missing[who] = why
            else:
                votes[who] = value
        return judge.score(votes, missing)


def _key(asker: Asker, told: str) -> str:
    """Identifies what a judge is told, and which model judges with which parameters."""
    return digest_bytes(f"{asker.identity}\0{told}".encode())[:32]


def _said(asker: Asker, judge: Judge, told: str, known: Known) -> tuple[float | None, str]:
    """The first score that a judge gave, or why it gave none."""
    why = "wasn't asked: the budget is spent"
    key = _key(asker, told)
    for turn in range(TRIES):
        found = known.get(asker.of, key, turn)
        if found is None:
            continue
        if found.reply.error is not None:
            why = f"gave no answer: {found.reply.detail or found.reply.error}"
            continue
        value = judge.read(found.reply.value)
        if value is not None:
            return value, ""
        why = off_form(found.reply.value)
    return None, why
