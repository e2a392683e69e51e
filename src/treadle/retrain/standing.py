"""What was in production at a moment, who let it in, and on what evidence."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from treadle.deploy import Deployments
from treadle.evaluate import Evaluations
from treadle.kernel.errors import NotFound
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.registry import Approvals, Registry
from treadle.retrain import rules
from treadle.retrain.service import Cycles
from treadle.retrain.shares import KINDS, Share, shares
from treadle.retrain.types import Evidence, InProduction, Reign


def in_production(workspace: Workspace, model: str, at: datetime) -> list[InProduction]:
    """Every version that was in production at a moment, whoever put it there, the last one first.

    One that was tried beside it comes at the end.

    Args:
        workspace: Where everything is kept.
        model: The model.
        at: The moment.

    Raises:
        NotFound: If there is no such model.
    """
    found = [one for one in Cycles(workspace).reigns(model) if rules.reigned(one, at)]
    answered = shares(timeline(workspace.database, f"model:{model}", until=at, kinds=KINDS), at)
    told = [_told(workspace, model, reign, answered, at) for reign in reversed(found)]
    known = {reign.version for reign in found}
    for one in answered:
        if one.since is not None and one.version not in known:
            reign = _tried(workspace, model, one)
            told.append(msgspec.structs.replace(_told(workspace, model, reign, answered, at), trial=True))
    return told


def _tried(workspace: Workspace, model: str, one: Share) -> Reign:
    """The trial of a revision, told as a reign is."""
    asked = next(r for r in Deployments(workspace).history(model) if r.revision == one.revision)
    since = one.since or asked.at
    return Reign(version=one.version, since=since, until=None, actor=asked.actor, reason=asked.reason)


def _told(
    workspace: Workspace, model: str, reign: Reign, answered: list[Share], at: datetime
) -> InProduction:
    ref = f"{model}/{reign.version}"
    try:
        version = Registry(workspace).get(ref)
        approvals = Approvals(workspace).standing(ref).approvals
    except NotFound:  # an MLflow client deleted it since
        version, approvals = None, ()
    stood = (one for one in approvals if one.at <= at and (one.withdrawn_at is None or one.withdrawn_at > at))
    mine = [one for one in answered if one.version == reign.version]
    return InProduction(
        ref=ref,
        at=at,
        share=sum(one.share for one in mine) if answered else None,
        revision=mine[-1].revision if mine else None,
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
