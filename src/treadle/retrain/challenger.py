"""A version that isn't in production, beside the one that is, on the rows that callers sent.

Every prediction is logged with its inputs; what another version would have answered is found out when the
labels are there. So a challenger is watched for as long as it takes, costs callers nothing, and takes no
place in a rollout. (How fast it answers, and whether it does, only a shadow on the server tells.)
"""

from __future__ import annotations

from datetime import UTC, datetime

from treadle.kernel.errors import TreadleError
from treadle.kernel.events import record, timeline
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.monitor import Alert, Monitors
from treadle.registry import ModelVersion, Registry
from treadle.retrain.challenger_rules import Compared
from treadle.retrain.comparing import compare

_BESIDE = ("candidate", "staging", "refused")


class Challengers:
    """The versions that are held beside production.

    Args:
        workspace: The project's workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._config = workspace.config.retrain.challenger

    def look(self, model: str) -> Compared | None:
        """Compares, and tells the timeline where the verdict is news; one that is better is proposed.

        Returns:
            What was found; None where nothing is to be compared.
        """
        production = Registry(self._ws).production(model)
        challenger = self._challenger(model, production)
        if production is None or challenger is None:
            return None
        try:
            found = compare(self._ws, production, challenger)
        except TreadleError as error:
            said = f"{challenger.ref} can't be held beside {production.ref}: {error.message}"
            self._tell(model, challenger, production, "unable", said)
            return None
        self._tell(model, challenger, production, found.verdict, found.sentence)
        if found.verdict == "better":
            self._propose(model, challenger, production, found)
        return found

    def _challenger(self, model: str, production: ModelVersion | None) -> ModelVersion | None:
        if not self._config.watch or production is None:
            return None
        registry = Registry(self._ws)
        if self._config.version is not None:
            named = registry.get(f"{model}/{self._config.version}")
            return named if named.number != production.number else None
        fitting = [
            one
            for one in registry.list(model)
            if one.number > production.number
            and one.status in ("candidate", "staging", "refused")
            and one.signature
        ]
        return max(fitting, key=lambda one: one.number, default=None)

    def _tell(
        self, model: str, challenger: ModelVersion, production: ModelVersion, said: str, sentence: str
    ) -> None:
        """Writes a verdict on the timeline, unless the latest of the two was the same."""
        told = timeline(self._ws.database, f"model:{model}", kinds=["challenger"])
        pair = {"challenger": challenger.ref, "production": production.ref}
        before = [one for one in told if pair.items() <= one.facts.items()]
        if before and before[-1].facts["verdict"] == said:
            return
        now = self._ws.clock.now()
        event = Event(
            id=f"challenger:{challenger.ref}:{production.ref}:{said}:{len(before)}",
            at=now,
            recorded_at=datetime.now(UTC),
            subject=f"model:{model}",
            kind="challenger",
            actor="monitor",
            message=sentence,
            facts={**pair, "verdict": said},
        )
        with self._ws.database.write() as connection:
            record(connection, event)

    def _propose(
        self, model: str, challenger: ModelVersion, production: ModelVersion, found: Compared
    ) -> None:
        """Opens an incident, once for the two."""
        fix = (
            f"train it again on newer data: treadle run --like {challenger.run}"
            if challenger.status == "refused"
            else f"let it in: treadle models approve {challenger.ref} --reason TEXT"
        )
        Monitors(self._ws).report(
            Alert(
                id=f"challenger:{challenger.ref}:{production.ref}",
                model=model,
                kind="retraining",
                at=self._ws.clock.now(),
                subjects=(challenger.ref,),
                sentence=f"{found.sentence}; {fix}",
                version=production.number,
            )
        )
