"""Which revision answered which part of the requests at a moment, from what was written down then. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from treadle.kernel.types import Event

KINDS = ("serving", "rollout_step", "deployed", "rolled_back", "deploy_failed")
"""The events that tell of it."""


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A revision that answered requests.

    Attributes:
        revision: The revision.
        version: The version that it runs.
        share: The part of the requests that it answered, from 0 to 1.
        since: Since when it was tried; None for the one that serves.
    """

    revision: int
    version: int
    share: float
    since: datetime | None = None


def shares(events: Iterable[Event], at: datetime) -> list[Share]:
    """Who answered at a moment: the revision that served, and one that was tried beside it.

    Args:
        events: What happened to a model, in the order in which it did.
        at: The moment.
    """
    serving: Share | None = None
    tried: Share | None = None
    for event in events:
        elsewhere = "environment" in event.facts  # before the last one of [environments]
        if event.at > at or event.kind not in KINDS or elsewhere:
            continue
        number, version = int(event.facts["revision"]), int(event.facts["version"])
        if event.kind == "serving":
            serving, tried = Share(revision=number, version=version, share=1.0), None
        elif event.kind == "rollout_step":
            since = tried.since if tried and tried.revision == number else event.at
            part = float(event.facts.get("share", 0))
            tried = Share(revision=number, version=version, share=part, since=since)
        else:
            tried = None
    if serving is None or tried is None or not tried.share:
        return [serving] if serving else []
    return [msgspec.structs.replace(serving, share=1 - tried.share), tried]
