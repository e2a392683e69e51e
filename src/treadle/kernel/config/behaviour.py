"""``[checks.behaviour.NAME]`` of ``treadle.toml``: what a system that doesn't always answer alike must do."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from treadle.kernel.config.base import Duration, Fraction, Positive, Scalar, Table

Level = Literal["nominal", "ordinal", "interval"]
ScorerKind = Literal[
    "exact", "regex", "contains", "json_schema", "number", "similarity", "python", "judge"
]  # fmt: skip
Price = Annotated[float, Meta(ge=0)]


class TargetConfig(Table, frozen=True):
    """What is asked: a Python function, or an HTTP endpoint.

    Attributes:
        call: A Python function, as ``package.module:function``; it may be async.
        url: An endpoint; of ``chat`` and ``embeddings`` the base, such as ``https://api.openai.com/v1``.
        api: How it is spoken to: ``chat`` and ``embeddings`` as OpenAI does, ``json`` by ``body``.
        model: The model's name, for ``chat`` and ``embeddings``.
        system: A system message before every input, for ``chat``.
        body: The JSON to post, for ``json``: ``{input}``, ``{input.KEY}``, ``{id}`` and ``{seed}`` in its
            texts are filled in.
        answer: Where the answer stands in what comes back, such as ``choices.0.message.content``.
        headers: Headers of every request; none of them a secret.
        key_env: The environment variable that holds the key, which is written down nowhere.
        key_header: The header that carries the key; in ``Authorization`` it follows ``Bearer``.
        params: What else is given with every request, such as ``temperature``; kept with the answers.
        send_seed: Whether ``chat`` is given the repeat's ``seed``. A function is given it if it takes it.
        timeout: The longest that one call may take.
        retries: How often an endpoint is asked again after 429, 5xx, a timeout or a lost connection.
        concurrency: How many calls may be under way at once.
        rate: How many calls may begin in a minute.
        input_price: What a million tokens of input cost.
        output_price: What a million tokens of output cost.
        call_price: What a call costs beside its tokens.
    """

    call: str | None = None
    url: str | None = None
    api: Literal["chat", "embeddings", "json"] = "chat"
    model: str | None = None
    system: str | None = None
    body: dict[str, Any] = field(default_factory=dict)
    answer: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    key_env: str | None = None
    key_header: str = "Authorization"
    params: dict[str, Scalar] = field(default_factory=dict)
    send_seed: bool = False
    timeout: Duration = "60s"
    retries: Annotated[int, Meta(ge=0, le=20)] = 4
    concurrency: Annotated[int, Meta(ge=1, le=256)] = 4
    rate: Annotated[float, Meta(gt=0)] | None = None
    input_price: Price = 0.0
    output_price: Price = 0.0
    call_price: Price = 0.0


class ScorerConfig(Table, frozen=True):
    """What makes an answer a good one; every scorer must be content for an answer to pass.

    Attributes:
        kind: Which scorer; the keys below belong to the kinds that they name.
        passes: The score from which an answer passes; all scores lie between 0 and 1.
        bound: What the mean score must reach, with confidence; a verdict of its own.
        ignore: What ``exact`` and ``contains`` overlook.
        pattern: The regular expression that ``regex`` looks for; the case's ``expected`` without it.
        whole: Whether ``regex`` must match the whole answer.
        values: What ``contains`` looks for; the case's ``expected`` without it.
        match: Whether ``contains`` needs ``all`` of the values, or ``any``.
        schema: The JSON schema of ``json_schema``: a file, relative to the project; the case's
            ``expected`` without it.
        absolute: How far ``number`` may lie from ``expected``.
        relative: The same as a share of ``expected``; the larger of both counts.
        find: Which number of the answer ``number`` takes: the answer is nothing but it, or the last one.
        by: What ``similarity`` compares: ``characters`` (cosine of 3-grams: spelling, not meaning), ``words``
            (cosine of TF-IDF weights), ``embedding``.
        embedding: What gives vectors for ``similarity`` by ``embedding``.
        call: The function of ``python``, as ``package.module:function``, given answer and case.
        rubric: What a ``judge`` is told to look at; ``{input}``, ``{answer}`` and ``{expected}`` in it are
            filled in.
        judges: Which of ``judges`` are asked; all of them when empty.
        scale: The lowest and the highest score that a judge may give.
        level: What a judge's scores are, for the agreement between judges.
        agreement: The smallest agreement (Krippendorff's alpha) at which several judges are believed.
    """

    kind: ScorerKind
    passes: Fraction | None = None
    bound: Fraction | None = None
    ignore: list[Literal["case", "space", "punctuation", "accents"]] | None = None
    pattern: str | None = None
    whole: bool | None = None
    values: list[str] | None = None
    match: Literal["all", "any"] | None = None
    schema: str | None = None
    absolute: Annotated[float, Meta(ge=0)] | None = None
    relative: Annotated[float, Meta(ge=0)] | None = None
    find: Literal["only", "last"] | None = None
    by: Literal["characters", "words", "embedding"] | None = None
    embedding: TargetConfig | None = None
    call: str | None = None
    rubric: str | None = None
    judges: list[str] | None = None
    scale: Annotated[list[int], Meta(min_length=2, max_length=2)] | None = None
    level: Level | None = None
    agreement: Annotated[float, Meta(ge=-1, le=1)] | None = None


class PassK(Table, frozen=True):
    """A bound on what ``k`` answers to one case do together.

    Attributes:
        k: Of how many answers; at most ``repeats``.
        bound: What the share of cases must reach, with confidence.
    """

    k: Positive
    bound: Fraction


class EarlyStop(Table, frozen=True):
    """When to stop asking because the answer is known.

    At a ``bound`` by Wald's sequential probability ratio test, beside a baseline by betting on the paired
    differences; where there are both, when both are known.

    Attributes:
        worse: How far below ``bound`` the pass rate must lie to be surely told from it.
        false_fail: The chance to fail a system whose pass rate is ``bound``, or one that is no worse than the
            baseline.
        false_pass: The chance to pass one whose pass rate is ``bound`` less ``worse``, or one that is worse
            than the baseline by ``margin``.
    """

    worse: Annotated[float, Meta(gt=0, lt=1)] | None = None
    false_fail: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05
    false_pass: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05


class BehaviourCheck(Table, frozen=True):
    """What a system must do that doesn't always answer alike, such as a language model.

    Attributes:
        cases: The cases: a JSON Lines file, a version of a dataset (``support@v3``), or a file of one
            (``treadle://support@v3/cases.jsonl``).
        target: What is asked: ``package.module:function``, or a table.
        baseline: What it is held against: a target, the identity of an earlier evaluation, or ``last``, the
            newest evaluation of this check that passed.
        repeats: How often each case is asked.
        seed: Of the order in which cases are asked, and of the seeds that repeats are given.
        fields: Where a case's ``id``, ``input`` and ``expected`` stand, if not under those names.
        scorers: What makes an answer a good one, by name.
        judges: The models that judge answers, by name.
        measure: What is held against ``bound`` and the baseline: ``pass_rate``, or a scorer's mean score.
        bound: What the measure must reach, with confidence.
        margin: How much worse than the baseline still counts as no worse.
        confidence: Of every interval and test.
        by: The tags or columns of cases whose values are the groups that must be no worse, each.
        group_margin: How much worse than the baseline still counts as no worse for a group.
        min_cases: A group with fewer cases is reported and not tested.
        case_bound: The pass rate below which no single case may surely lie.
        pass_hat_k: A bound on the share of cases of which all of ``k`` answers pass.
        pass_at_k: A bound on the share of cases of which at least one of ``k`` answers passes.
        max_errors: The largest share of calls that may fail; each counts as an answer that doesn't pass.
        max_latency: The longest that answers may take, but for one in twenty.
        stop_early: When to stop asking because the verdict is known; for ``bound`` and the baseline overall.
        budget: The most that a run of the check may cost, in the currency of the prices.
        correlation: How alike answers to one case are taken to be (0: as different as answers to different
            cases, 1: the same) where no earlier evaluation tells; for plans.
    """

    cases: str
    target: str | TargetConfig
    scorers: Annotated[dict[str, ScorerConfig], Meta(min_length=1)]
    baseline: str | TargetConfig | None = None
    repeats: Annotated[int, Meta(ge=1, le=10_000)] = 5
    seed: Annotated[int, Meta(ge=0)] = 0
    fields: dict[str, str] = field(default_factory=dict)
    judges: dict[str, TargetConfig] = field(default_factory=dict)
    measure: str = "pass_rate"
    bound: Fraction | None = None
    margin: Fraction = 0.02
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95
    by: list[str] = field(default_factory=list)
    group_margin: Fraction = 0.05
    min_cases: Annotated[int, Meta(ge=2)] = 20
    case_bound: Fraction | None = None
    pass_hat_k: PassK | None = None
    pass_at_k: PassK | None = None
    max_errors: Fraction = 0.05
    max_latency: Duration | None = None
    stop_early: EarlyStop | None = None
    budget: Annotated[float, Meta(gt=0)] | None = None
    correlation: Fraction = 0.5
