"""What was in production at a moment, who let it in, and on what evidence."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from treadle.deploy import Deployments, Revision
from treadle.evaluate import Evaluations
from treadle.kernel.errors import NotFound
from treadle.kernel.workspace import Workspace
from treadle.registry import Approvals, Registry
from treadle.retrain import rules
from treadle.retrain.service import Cycles
from treadle.retrain.types import Evidence, InProduction, Reign


def in_production(workspace: Workspace, model: str, at: datetime) -> list[InProduction]:
    """Every version that was in production at a moment, whoever put it there, the last one first.

    Args:
        workspace: Where everything is kept.
        model: The model.
        at: The moment.

    Raises:
        NotFound: If there is no such model.
    """
    found = [one for one in Cycles(workspace).reigns(model) if rules.reigned(one, at)]
    served = rules.served(Deployments(workspace).history(model), at)
    return [_told(workspace, model, reign, served, at) for reign in reversed(found)]


def _told(
    workspace: Workspace, model: str, reign: Reign, served: Revision | None, at: datetime
) -> InProduction:
    ref = f"{model}/{reign.version}"
    try:
        version = Registry(workspace).get(ref)
        approvals = Approvals(workspace).standing(ref).approvals
    except NotFound:  # an MLflow client deleted it since
        version, approvals = None, ()
    stood = (one for one in approvals if one.at <= at and (one.withdrawn_at is None or one.withdrawn_at > at))
    mine = served if served and served.version == reign.version else None
    return InProduction(
        ref=ref,
        at=at,
        share=None if served is None else float(mine is not None),
        revision=mine.revision if mine else None,
        reign=reign,
        approvals=tuple(one for one in stood if one.stage == "production"),
        evidence=_evidence(workspace, version.evaluations if version else ()),
        deleted=version is None,
    )


def _evidence(workspace: Workspace, evaluations: Iterable[str]) -> tuple[Evidence, ...]:
    found = []
    for name in evaluations:
        try:
            one = Evaluations(workspace).get(name)
        except NotFound:
            found.append(Evidence(evaluation=name, outcome="gone", sentence="it isn't kept here any more"))
            continue
        sentence = rules.reason([one]) if one.verdicts else "nothing was checked"
        found.append(Evidence(evaluation=name, outcome=one.outcome, sentence=sentence))
    return tuple(found)
