"""What a verdict is: pass, fail or inconclusive, with the evidence for it; a pass may come with a warning."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from treadle.evaluate.skewness import NONE, Tilt
from treadle.kernel.config import ChecksConfig
from treadle.kernel.errors import ErrorBody

Outcome = Literal["pass", "warn", "inconclusive", "fail"]
"""``warn`` is a pass: something is surely there, and it is smaller than what matters."""

Kind = Literal["data", "model", "behaviour"]
JobState = Literal["running", "done", "failed", "cancelled"]
ReportFormat = Literal["html", "markdown", "junit", "json"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one question about data or a model.

    Attributes:
        check: Which check, such as ``nulls``, ``bound`` or ``no_worse``.
        subject: What it looked at: a column, ``overall``, or a group such as ``origin=JFK``.
        outcome: Pass, fail, or inconclusive (the data can't tell); warn where an effect is
            significant and lies inside the margin.
        sentence: The verdict in words, with its numbers.
        hypothesis: What was tested, in words; empty for checks without chance.
        estimate: The effect measured, in the metric's unit.
        low: Lower end of its interval.
        high: Upper end of its interval.
        bound: What it was held against.
        p_value: Where a test has one, before any correction.
        adjusted: The p-value after the correction for how many were tested, where there was one.
        test: What was computed, such as ``Holm-adjusted paired t``; empty without a test.
        statistic: The test's statistic.
        n: Rows (or clusters, see ``unit``) behind it.
        n_needed: How many would probably have decided it; only when inconclusive.
        unit: What ``n`` counts.
        groups: The groups that it is about or that decided it, such as ``origin=JFK``.
        metric: What was measured, such as ``recall``; empty where nothing is.
        exploratory: Whether nobody had declared it beforehand: it proposes, and decides nothing.
    """

    check: str
    subject: str
    outcome: Outcome
    sentence: str
    hypothesis: str = ""
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    p_value: float | None = None
    adjusted: float | None = None
    test: str = ""
    statistic: float | None = None
    n: int = 0
    n_needed: int | None = None
    unit: str = "rows"
    groups: tuple[str, ...] = ()
    metric: str = ""
    exploratory: bool = False


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a check will test, and what the data at hand can tell: known before anything is spent.

    Attributes:
        check: Which check.
        subject: What it will look at.
        hypothesis: What it will test, in words.
        sentence: The plan in words, with its numbers.
        n: Rows (or clusters, cases, seeds: see ``unit``) at hand; None where that isn't known yet.
        unit: What ``n`` counts.
        detectable: The smallest effect that it would find nine times in ten, in the metric's unit;
            None without chance.
        enough: Whether that is at most what the check is asked to find.
    """

    check: str
    subject: str
    hypothesis: str
    sentence: str
    n: int | None = None
    unit: str = "rows"
    detectable: float | None = None
    enough: bool | None = None


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What a judgement rests on, so that it can be made again.

    Attributes:
        reference: The data that it was compared with: a version, or a file's digest.
        code: The code version of the candidate.
        candidate: The model or target that was judged, as a version or an address.
        seed: Of everything random in it.
        resamples: How many bootstrap samples were drawn.
        treadle: The version of Treadle that judged.
        answers: Digest of the answers that were judged, of behaviour: they can be scored again.
        replays: The evaluation whose answers were scored again, if nothing was asked anew.
        origin: The project of another Treadle that judged; empty if it was judged here.
    """

    reference: str = ""
    code: str = ""
    candidate: str = ""
    seed: int | None = None
    resamples: int = 0
    treadle: str = ""
    answers: str = ""
    replays: str = ""
    origin: str = ""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """All verdicts of one gate, kept for ever with what they were about.

    Attributes:
        id: Its identity; evaluating under a known identity returns what was found then.
        kind: Data before training, a model after it, or the behaviour of a system.
        at: When.
        outcome: That of all verdicts together; see :func:`treadle.evaluate.rules.aggregate`.
        verdicts: The verdicts.
        subject: What was judged: a dataset version or a run.
        baseline: What it was compared with: a model version such as ``flights/3``, if any.
        data: Digest of the data that it was judged on.
        metrics: Point values of the candidate on that data.
        noise: Standard deviation of the metric between replicas, if there were any.
        basis: What it rests on.
    """

    id: str
    kind: Kind
    at: datetime
    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    subject: str
    baseline: str | None = None
    data: str | None = None
    metrics: dict[str, float] = {}
    noise: float | None = None
    basis: Basis = Basis()


class Estimate(msgspec.Struct, frozen=True):
    """A figure with its uncertainty.

    Attributes:
        value: The point value.
        se: Its standard error.
        low: Lower end of its two-sided interval.
        high: Upper end of its two-sided interval.
        n: Rows behind it.
        clusters: Independent units behind it; the rows themselves when they aren't clustered.
        df: Degrees of freedom of its interval.
        tilt: How skewed its error is, which its interval allows for.
    """

    value: float
    se: float
    low: float
    high: float
    n: int
    clusters: int
    df: float
    tilt: Tilt = NONE


class CheckRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be checked; everything that ``treadle.toml`` declares and that is here, when empty.

    Attributes:
        data: The rows whose data is checked: a version such as ``flights@v3``, a dataset, or the path
            of a Parquet or CSV file or folder. Those that are trained on, when empty.
        reference: The rows that they are held against; those that production was trained on, when empty.
        model: A model version that is judged on its held-out rows, such as ``flights/4``.
        against: The version that it is compared with; the one in production when empty.
        predictions: A file of predictions that is judged instead of that of ``[checks.predictions]``, whose
            columns it has.
        baseline: Production's predictions, paired by key, instead of those that are declared.
        only: Only these kinds of checks.
        checks: What is checked, instead of ``[checks]`` in ``treadle.toml``.
        again: Whether to judge anew what was judged already, of the same data by the same checks.
        behaviour: Only these checks of behaviour, and nothing else.
        rescore: An evaluation of behaviour whose answers are scored again; nothing else is done.
        seed: Of everything random.
    """

    data: str = ""
    reference: str = ""
    model: str = ""
    against: str = ""
    predictions: str = ""
    baseline: str = ""
    only: tuple[Kind, ...] = ()
    checks: ChecksConfig | None = None
    again: bool = False
    behaviour: tuple[str, ...] = ()
    rescore: str = ""
    seed: int = 0


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What checks came to.

    Attributes:
        outcome: That of all of them.
        evaluations: What was found, a kind of checks each.
        kept: The evaluations among them that had been made before, of the same by the same.
    """

    outcome: Outcome
    evaluations: tuple[Evaluation, ...]
    kept: tuple[str, ...] = ()


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """How far the asking of behaviour checks is.

    Attributes:
        check: The check that is asked; empty before the first.
        calls: How many answers are needed in all, of the checks that have begun.
        answered: How many of them there are.
        cost: What they and their judges cost, in the unit of the prices in ``treadle.toml``.
    """

    check: str = ""
    calls: int = 0
    answered: int = 0
    cost: float = 0.0


class CheckJob(msgspec.Struct, frozen=True, kw_only=True):
    """Checks that are under way, or that have ended.

    Attributes:
        id: Its identity.
        asked: What is checked.
        actor: Who asked.
        at: When it began.
        state: ``done`` whatever the verdicts; ``failed`` where there are none; ``cancelled`` where somebody
            stopped it.
        asking: How far it is.
        result: What it came to; None before it is done.
        error: Why there are no verdicts; None where there are, or while it runs.
    """

    id: str
    asked: CheckRequest
    actor: str
    at: datetime
    state: JobState = "running"
    asking: Asking = Asking()
    result: CheckResult | None = None
    error: ErrorBody | None = None


class CheckPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What checks will test, and what the data at hand can tell.

    Attributes:
        planned: The checks.
        notes: What isn't checked, and why.
    """

    planned: tuple[Planned, ...]
    notes: tuple[str, ...] = ()


class ForeignSuite(msgspec.Struct, frozen=True, kw_only=True):
    """Checks as another tool writes them.

    Attributes:
        text: A suite of Great Expectations (JSON), or a schema of Pandera (YAML or JSON).
        where: What it is called in errors.
    """

    text: str
    where: str = "the suite"


class WrittenChecks(msgspec.Struct, frozen=True, kw_only=True):
    """Checks of data as the lines of ``treadle.toml`` that declare them.

    Attributes:
        toml: The lines.
        unsaid: What another tool says and these checks can't, with the reasons.
    """

    toml: str
    unsaid: tuple[str, ...] = ()
