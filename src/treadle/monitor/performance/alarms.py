"""Which figures of a window are alarms, by the evidence of all windows of the version. No I/O.

All of a model's figures that gather evidence share the run length that is declared, by
:func:`treadle.monitor.sequential.discovered`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from treadle.monitor import sequential
from treadle.monitor.types import WindowResult

Results: TypeAlias = Sequence[WindowResult]


def judged(found: Results, before: Results, wanted: float) -> list[WindowResult]:
    """A window's figures with their alarms.

    An alarm stands as long as figures are worse than allowed; one that is better ends it, and evidence is
    gathered anew. Each family of figures (the estimates, those of segments ...) has an equal share of the
    false alarms, and those of a family share that equally.

    Args:
        found: The figures; those without an e-value are left as they are.
        before: Figures of this version's earlier windows, oldest first.
        wanted: The run length of a family.
    """
    courses: dict[tuple[str, ...], list[WindowResult]] = {}
    for one in before:
        courses.setdefault(_key(one), []).append(one)
    gathering = [one for one in found if one.e_value is not None]
    sizes = Counter(_family(one) for one in gathering)
    detected = {_key(one): _detected(one, courses.get(_key(one), [])) for one in gathering}
    rejected = sequential.discovered(
        [detected[_key(one)].evidence for one in gathering],
        [1 / sizes[_family(one)] for one in gathering],
        wanted,
    )
    alarms = {_key(one): alarm for one, alarm in zip(gathering, rejected, strict=True)}
    judged = []
    for one in found:
        course = courses.get(_key(one), [])
        standing = bool(course) and course[-1].state == "alert"
        if not _worse(one) or not (standing or alarms.get(_key(one))):
            judged.append(one)
            continue
        since = "" if standing else _since(detected[_key(one)].since)
        sentence = f"{one.sentence}: worse than allowed{since}"
        judged.append(msgspec.structs.replace(one, state="alert", sentence=sentence, severity="warning"))
    return judged


def explained(found: Results) -> list[WindowResult]:
    """A window's figures, where alarms of segments raise none beside one of all rows."""
    everywhere: dict[str, str] = {}
    for one in found:
        if one.kind in {"performance", "estimated"} and not one.segment and one.state == "alert":
            everywhere.setdefault("performance", f"{one.kind}:{one.subject}")
            if one.statistic == one.subject and one.kind == "estimated":
                everywhere["estimated"] = f"{one.kind}:{one.subject}"
    return [
        msgspec.structs.replace(
            one, sentence=f"{one.sentence}; so it is among all rows", explained_by=everywhere[one.kind]
        )
        if one.segment and one.state == "alert" and one.kind in everywhere
        else one
        for one in found
    ]


def _since(windows: int) -> str:
    return f", since {windows} windows ago at the latest" if windows > 1 else ", since this window"


def _worse(one: WindowResult) -> bool:
    """Whether a figure that gathers evidence is worse than allowed in this window."""
    return one.e_value is not None and one.value is not None and one.state == "inconclusive"


def _detected(one: WindowResult, course: Results) -> sequential.Detected:
    last = max((place for place, old in enumerate(course) if old.state == "alert"), default=-1)
    return sequential.detect(
        [*(1.0 if old.e_value is None else old.e_value for old in course[last + 1 :]), one.e_value or 0.0]
    )


def _key(one: WindowResult) -> tuple[str, ...]:
    return one.kind, one.subject, one.segment, one.statistic


def _family(one: WindowResult) -> str:
    return "segments" if one.segment and one.kind != "fairness" else one.kind
