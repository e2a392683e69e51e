"""Asking and scoring all cases of a check, or as many as it takes."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from treadle.evaluate.behaviour.asking import Asker, Budget, Job, ask_all
from treadle.evaluate.behaviour.cases import question
from treadle.evaluate.behaviour.judging.early import all_told
from treadle.evaluate.behaviour.known import Known
from treadle.evaluate.behaviour.outcomes import Result, Side, side
from treadle.evaluate.behaviour.scoring import Scoring
from treadle.evaluate.behaviour.setup import BASELINE, TARGET, Setup
from treadle.evaluate.behaviour.targets.port import Call, seed_of
from treadle.evaluate.behaviour.types import Answered, Case
from treadle.kernel.config import BehaviourCheck
from treadle.kernel.errors import Unavailable

_HOPELESS = 10
_CLOSED = frozenset({401, 403, 404})
_FEWEST = 8


class Gathered(NamedTuple):
    """All answers, with their scores.

    Attributes:
        target: Those of the target.
        baseline: Those of what it is held against, if it was asked too.
        planned: How many calls of both there would be in all.
        complete: Whether all were asked that were needed.
    """

    target: Side
    baseline: Side | None
    planned: int
    complete: bool


def in_order(cases: Sequence[Case], seed: int) -> list[Case]:
    """Cases in a random order that depends on the seed and on their names, not on where they stand."""
    found = sorted(cases, key=lambda case: case.id)
    random.Random(seed).shuffle(found)  # noqa: S311 - an order, no secret
    return found


class Running:
    """One run of a check.

    Args:
        check: What is declared.
        cases: All cases.
        setup: What is asked.
        asked: Who asks the target, and the baseline; nobody where answers are there already.
        repeats: How many answers a case has, of the target and of the baseline if there is one.
        known: What was answered already.
        budget: What may be spent.

    Raises:
        ConfigError: If a scorer can't be made.
        InvalidInput: If a question doesn't suit what is asked.
    """

    def __init__(
        self,
        check: BehaviourCheck,
        cases: Sequence[Case],
        setup: Setup,
        asked: Mapping[str, Asker],
        repeats: Mapping[str, int],
        known: Known,
        budget: Budget,
    ) -> None:
        self._check, self._setup, self._known, self._budget = check, setup, known, budget
        self._watch = setup.watch
        self._asked, self._repeats = asked, repeats
        self._order = in_order(cases, check.seed)
        self._scoring = Scoring(check, cases, setup)
        self._seen: dict[str, Counter[bool]] = defaultdict(Counter)
        for answered in known.all():
            self._seen[answered.of][answered.reply.error is None] += 1
        for asker in asked.values():
            for case in self._order:
                asker.target.check(self._call(case, 0))

    def gather(self) -> Gathered:
        """Asks and scores until all is known, or enough to tell, or the budget is spent.

        Raises:
            Unavailable: If a target answers none of the first calls.
            StorageFull: If answers can't be kept.
            Cancelled: If somebody stopped it.
        """
        results: dict[str, dict[str, list[Result]]] = {of: defaultdict(list) for of in self._repeats}
        planned = len(self._asked) * len(self._order) * self._check.repeats
        budget = self._budget  # what is watched outlives this run, and must not hold its answers
        self._watch.expect(planned, lambda: budget.spent)
        complete = True
        for block in self._blocks():
            complete = self._ask(block) and complete
            for of, found in results.items():
                self._score(of, block, found)
                self._watch.look()  # scores may be missing, if somebody stopped it
            if not complete or self._enough(results):
                break
        baseline = side(self._order, results[BASELINE]) if BASELINE in results else None
        return Gathered(side(self._order, results[TARGET]), baseline, planned, complete)

    def _blocks(self) -> Iterator[Sequence[Case]]:
        """Cases that are asked before it is looked whether they are enough."""
        size = len(self._order)
        if self._check.stop_early:
            size = max([_FEWEST, *(asker.config.concurrency for asker in self._asked.values())])
        for start in range(0, len(self._order), size):
            yield self._order[start : start + size]

    def _enough(self, results: Mapping[str, Mapping[str, list[Result]]]) -> bool:
        if self._check.stop_early is None:
            return False
        sides = {of: side(self._order, found) for of, found in results.items()}
        return all_told(self._check, sides[TARGET], sides.get(BASELINE))

    # ── asking ───────────────────────────────────────────────────────────

    def _call(self, case: Case, repeat: int) -> Call:
        return Call(
            key=question(case),
            repeat=repeat,
            input=case.input,
            seed=seed_of(self._check.seed, case.id, repeat),
            case=case,
        )

    def _ask(self, block: Sequence[Case]) -> bool:
        """Asks what isn't known yet: every case once, then every case a second time, and so on."""
        jobs = []
        for of, asker in self._asked.items():
            calls = [
                self._call(case, repeat)
                for repeat in range(self._check.repeats)
                for case in block
                if self._known.get(of, question(case), repeat) is None
            ]
            self._watch.tell(len(block) * self._check.repeats - len(calls))
            if calls:
                jobs.append(Job(asker, calls))
        if not jobs:
            return True
        return ask_all(jobs, self._budget, self._setup.stop, self._take, self._watch.look)

    def _take(self, answered: Answered) -> None:
        self._known.add(answered)
        self._watch.tell(1)
        self._look(answered)

    def _look(self, answered: Answered) -> None:
        """Gives up on a target that answers nothing: more calls would say no more and may cost."""
        seen = self._seen[answered.of]
        seen[answered.reply.error is None] += 1
        if answered.reply.error is None or seen[True] or self._setup.stop.is_set():
            return
        calls = len(self._order) * self._check.repeats
        if answered.reply.status in _CLOSED or seen[False] >= min(_HOPELESS, calls):
            name = self._asked[answered.of].target.name
            raise Unavailable(
                f"{name} answered none of the first {seen[False]:,} calls: "
                f"{answered.reply.detail or answered.reply.error}",
                where=f"{self._setup.where} {answered.of}",
                fix="see whether it is there and takes what it is given; nothing was judged",
            )

    def _score(self, of: str, block: Sequence[Case], into: dict[str, list[Result]]) -> None:
        answers = [
            (case, answered)
            for case in block
            for repeat in range(self._repeats[of])
            if (answered := self._known.get(of, question(case), repeat))
        ]
        for (case, _), result in zip(
            answers, self._scoring.score(answers, self._known, self._budget), strict=True
        ):
            into[case.id].append(result)
