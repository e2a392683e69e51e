"""What ``[checks.bias]`` asks of a model of some task, with what it leaves out filled in. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from treadle.kernel.config import BiasCheck, Config
from treadle.kernel.config.base import Task
from treadle.kernel.config.checks import BiasMeasure
from treadle.kernel.errors import ConfigError
from treadle.kernel.names import did_you_mean

WHERE = "treadle.toml [checks.bias]"

_DEFAULTS: dict[Task, tuple[BiasMeasure, ...]] = {
    "binary": ("demographic_parity", "equalised_odds"),
    "multiclass": ("demographic_parity", "equalised_odds"),
    "regression": ("demographic_parity", "equal_loss"),
}
_RATES: tuple[BiasMeasure, ...] = (
    "demographic_parity",
    "equal_opportunity",
    "equalised_odds",
    "predictive_parity",
    "calibration",
)
_KNOWN: dict[Task, tuple[BiasMeasure, ...]] = {
    "binary": _RATES,
    "multiclass": _RATES,
    "regression": ("demographic_parity", "calibration", "equal_loss"),
}


class Asked(NamedTuple):
    """What has to be alike.

    Attributes:
        measures: By which measures.
        max_difference: How far a rate, or a mean, may be from the reference group's.
        margin: How much further than production's.
        min_ratio: How small the ratio of selection rates may be; None where it isn't asked for.
        given: Columns within whose values selection rates are compared as well.
        min_rows: How many rows a group needs to be tested.
        classes: The numbers and names of the classes that are selected, of several; empty otherwise.
    """

    measures: Sequence[BiasMeasure]
    max_difference: float
    margin: float
    min_ratio: float | None = None
    given: Sequence[str] = ()
    min_rows: int = 100
    classes: Sequence[tuple[int, str]] = ()


def asked(config: Config, classes: int = 0) -> Asked:
    """What a project's ``[checks.bias]`` asks.

    Args:
        config: The project's.
        classes: How many classes the model scores, where the project doesn't name them.

    Raises:
        ConfigError: If it asks what a model of the task can't be asked.
    """
    check, task = config.checks.bias, config.project.task
    if task not in _KNOWN:
        raise ConfigError(f"bias can't be judged of a {task} model", where=WHERE)
    measures = _DEFAULTS[task] if check.measures is None else tuple(check.measures)
    for measure in measures:
        if measure not in _KNOWN[task]:
            raise ConfigError(
                f"a {task} model can't be held to {measure}",
                where=f"{WHERE} measures",
                fix=f"take some of {', '.join(_KNOWN[task])}",
            )
    if check.favourable is not None and task != "multiclass":
        raise ConfigError(f"a {task} model has no classes to choose from", where=f"{WHERE} favourable")
    if task == "regression":
        return _of_numbers(check, measures)
    if (check.max_difference or 0) >= 1:
        raise ConfigError(
            f"rates differ by less than 1; {check.max_difference:g} allows everything",
            where=f"{WHERE} max_difference",
        )
    return Asked(
        measures=measures,
        max_difference=0.1 if check.max_difference is None else check.max_difference,
        margin=0.05 if check.margin is None else check.margin,
        min_ratio=check.min_ratio,
        given=tuple(check.given),
        min_rows=check.min_rows,
        classes=_classes(config, classes) if task == "multiclass" else (),
    )


def _of_numbers(check: BiasCheck, measures: Sequence[BiasMeasure]) -> Asked:
    for name, said in (("min_ratio", check.min_ratio is not None), ("given", bool(check.given))):
        if said:
            raise ConfigError(
                f"{name} is about decisions, and a regression makes none",
                where=f"{WHERE} {name}",
                fix="leave it out",
            )
    if check.max_difference is None:
        raise ConfigError(
            "nothing says how far the groups' means may lie apart",
            where=f"{WHERE} max_difference",
            fix="say it in the label's unit, such as max_difference = 2.5",
        )
    margin = check.max_difference / 2 if check.margin is None else check.margin
    return Asked(measures, check.max_difference, margin, min_rows=check.min_rows)


def _classes(config: Config, number: int) -> list[tuple[int, str]]:
    """The classes that are selected, with their numbers."""
    declared = config.checks.predictions.classes if config.checks.predictions else []
    names = declared or [str(place) for place in range(number)]
    favourable = config.checks.bias.favourable
    if favourable is None:
        return list(enumerate(names))
    if favourable not in names:
        raise ConfigError(
            f"{favourable!r} is none of the classes",
            where=f"{WHERE} favourable",
            fix=did_you_mean(favourable, names),
        )
    return [(names.index(favourable), favourable)]
