"""What a comparison of runs says."""

from __future__ import annotations

from typing import Literal

import msgspec

from treadle.experiment.types import Run, Scalar, Value

Axis = Literal["step", "time"]
NoImportance = Literal["too_few_runs", "nothing_varies", "metric_constant", "unexplained"]


class FileDiff(msgspec.Struct, frozen=True):
    """A file that isn't the same in every run.

    Attributes:
        path: Where it lies within the runs.
        digests: Of each run's file; None where it has none.
        sizes: In bytes.
    """

    path: str
    digests: list[str | None]
    sizes: list[int | None]


class InputDiff(msgspec.Struct, frozen=True):
    """A dataset that not every run used in the same version.

    Attributes:
        name: Its name.
        context: What it was used for; empty if that wasn't said.
        digests: Of the version that each run used; None where it used none.
    """

    name: str
    context: str
    digests: list[str | None]


class Comparison(msgspec.Struct, frozen=True):
    """Runs side by side.

    Attributes:
        runs: The runs, in the order asked for.
        params: The parameters in which they differ, with each run's value (None where it has none).
        metrics: Every metric, with each run's latest value.
        noise: For each metric, the standard deviation between replicas of one recipe, where the
            runs compared have at least two: differences within it mean nothing.
        tags: The tags in which they differ, with each run's; without those that clients set themselves.
        origin: In what else they differ of where they come from: commit, command, Python, machine.
        inputs: The datasets in which they differ.
        files: The files in which they differ, by path.
        packages: The installed packages in which they differ, with each run's version, as far as
            their environments were kept.
    """

    runs: list[Run]
    params: dict[str, list[Scalar | None]]
    metrics: dict[str, list[Value | None]]
    noise: dict[str, float]
    tags: dict[str, list[str | None]] = {}
    inputs: list[InputDiff] = []
    files: list[FileDiff] = []
    packages: dict[str, list[str | None]] = {}
    origin: dict[str, list[str | None]] = {}

    def _repr_html_(self) -> str:
        from treadle.experiment.display import comparison_html

        return comparison_html(self)


class CodeDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How the code of two runs differs.

    Attributes:
        runs: The two runs.
        commits: Their commits; None where none is known.
        same: Whether both ran the same code; None if that can't be told.
        diff: From the first commit to the second, as ``git diff`` writes it; empty if it isn't known.
        patches: What each had changed without committing it; None if nothing, or if it wasn't kept.
        note: What can't be told, and why.
    """

    runs: tuple[str, str]
    commits: tuple[str | None, str | None]
    same: bool | None
    diff: str = ""
    patches: tuple[str | None, str | None] = (None, None)
    note: str | None = None


class RunCurve(msgspec.Struct, frozen=True):
    """One run's curve.

    Attributes:
        run: The run.
        x: Steps, or seconds since the run began.
        y: The metric's values there.
    """

    run: str
    x: list[float]
    y: list[Value]


class SharedCurves(msgspec.Struct, frozen=True):
    """One metric's curves over one axis, thinned to what a picture can show.

    Attributes:
        metric: The metric.
        by: What they are aligned by.
        curves: The curves, in the order of the runs; those without the metric are missing.
    """

    metric: str
    by: Axis
    curves: list[RunCurve]


class ParamImportance(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a metric one parameter accounts for.

    Attributes:
        name: The parameter.
        share: The part of the explained variance that would go if it were averaged out: alone and
            together with others. These parts may add up to more than 1.
        low: The lower end of its 95 % interval.
        high: The upper end.
        alone: The part that it makes alone.
        correlation: Spearman's rank correlation with the metric; None for what isn't a number.
        clear: Whether it is more than chance gives a parameter that can't matter.
    """

    name: str
    share: float
    low: float
    high: float
    alone: float
    correlation: float | None
    clear: bool


class Importance(msgspec.Struct, frozen=True, kw_only=True):
    """Which parameters a metric depends on.

    Attributes:
        metric: The metric.
        runs: Over how many runs.
        sentence: What was found, in words.
        reason: Why nothing can be said; None if something can.
        explained: The part of the metric's variance that the parameters predict in runs that the
            model wasn't shown; below nothing if it predicts worse than the mean.
        params: The parameters, the most important first; empty if there is a reason.
        chance: What a parameter that can't matter gets by chance, at most in about 39 of 40 cases.
        fenced: How many far outliers of the metric were moved to Tukey's outer fences.
        ignored: Parameters that were passed over, and why.
    """

    metric: str
    runs: int
    sentence: str
    reason: NoImportance | None = None
    explained: float | None = None
    params: list[ParamImportance] = []
    chance: float | None = None
    fenced: int = 0
    ignored: dict[str, str] = {}
