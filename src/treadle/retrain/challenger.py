"""A version that isn't in production, beside the one that is, on the rows that callers sent.

Every prediction is logged with its inputs; what another version would have answered is found out when the
labels are there. So a challenger is watched for as long as it takes, costs callers nothing, and takes no
place in a rollout. (How fast it answers, and whether it does, only a shadow on the server tells; while one
is in trial, it is the challenger.)
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from treadle.deploy import Deployments
from treadle.kernel.errors import Conflict, NotFound, TreadleError
from treadle.kernel.events import record, timeline
from treadle.kernel.names import unknown
from treadle.kernel.types import Event
from treadle.kernel.workspace import Workspace
from treadle.monitor import Alert, Monitors
from treadle.registry import ModelVersion, Registry
from treadle.retrain.challenger_types import (
    Challenger,
    ChosenBy,
    Compared,
    StartChallenger,
    StopChallenger,
)
from treadle.retrain.comparing import check_answerable, compare

_BESIDE = ("candidate", "staging", "refused")
_BY_HAND = ("started", "stopped")
_OVER = ("worse", "undecided", "unable", "stopped")
_ONLY_PEOPLE_END = ("shadow", "challenger")


class _Choice(NamedTuple):
    version: ModelVersion | None
    chosen: ChosenBy | None
    why: str
    event: Event | None = None


class Challengers:
    """The versions that are held beside production.

    Args:
        workspace: The project's workspace.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._registry = Registry(workspace)

    def look(self, model: str) -> Compared | None:
        """Compares, and tells the timeline where the verdict is news; one that is better is proposed.

        Returns:
            What was found; None where nothing is to be compared.
        """
        production = self._registry.production(model)
        choice = self._choose(model, production)
        challenger = choice.version
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
            self._propose(challenger, production, found, choice.chosen)
        return found

    def show(self, model: str) -> Challenger:
        """Which version is held beside production, why, and how it does by what is known now.

        Raises:
            NotFound: If the project has no model of that name.
            CorruptData: If the log can't be read.
        """
        self._check(model)
        production = self._registry.production(model)
        choice = self._choose(model, production)
        by_hand = choice.event if choice.version and choice.chosen == "hand" else None
        found, problem = None, ""
        if production and choice.version:
            try:
                found = compare(self._ws, production, choice.version)
            except TreadleError as error:
                problem = error.message
        return Challenger(
            model=model,
            production=production.ref if production else None,
            challenger=choice.version.ref if choice.version else None,
            chosen=choice.chosen if choice.version else None,
            why=choice.why,
            held_since=by_hand.at if by_hand else None,
            actor=by_hand.actor if by_hand else "",
            found=found,
            problem=problem,
        )

    def start(self, model: str, asked: StartChallenger) -> Challenger:
        """Holds a version beside production from now on, whatever else would be held.

        Raises:
            NotFound: If there is no such model or version.
            InvalidInput: If its answers can't be found out from the log.
            Conflict: If nothing is in production, it is this version, or it is held already.
        """
        self._check(model)
        version = self._registry.get(f"{model}/{asked.version}")
        production = self._registry.production(model)
        if production is None:
            raise Conflict(
                f"nothing of {model} is in production, so there is nothing to be held beside",
                fix=f"let one in: treadle models approve {version.ref} --reason TEXT",
            )
        if version.number == production.number:
            raise Conflict(
                f"{version.ref} is in production itself", fix=f"see others: treadle models {model}"
            )
        choice = self._choose(model, production)
        if choice.chosen == "hand" and choice.version and choice.version.number == version.number:
            raise Conflict(
                f"{version.ref} is held beside {production.ref} already",
                fix="see how it does: treadle retrain challenger",
            )
        check_answerable(self._ws, version)
        said = f"{version.ref} is held beside {production.ref}: {asked.reason}"
        self._record(model, version.ref, production.ref, "started", said, asked.actor)
        return self.show(model)

    def stop(self, model: str, asked: StopChallenger) -> Challenger:
        """Holds the version beside production no more; one that is refused or held later may be.

        Raises:
            NotFound: If there is no such model.
            Conflict: If none is held.
        """
        self._check(model)
        production = self._registry.production(model)
        choice = self._choose(model, production)
        if production is None or choice.version is None:
            raise Conflict(
                f"no version is held beside production: {choice.why}",
                fix="hold one: treadle retrain challenger start VERSION --reason TEXT",
            )
        if choice.chosen == "trial":
            raise Conflict(
                f"{choice.version.ref} is held because it is in trial",
                fix="end the trial: treadle deploy rollback --reason TEXT",
            )
        said = f"{choice.version.ref} is no longer held beside {production.ref}: {asked.reason}"
        self._record(model, choice.version.ref, production.ref, "stopped", said, asked.actor)
        return self.show(model)

    def _check(self, model: str) -> None:
        if model != self._ws.config.model:
            raise unknown("model", model, [self._ws.config.model])

    def _choose(self, model: str, production: ModelVersion | None) -> _Choice:
        """By hand comes first, then a trial that only people end, what the file names, the newest."""
        if production is None:
            return _Choice(None, None, "nothing is in production yet")
        told = timeline(self._ws.database, f"model:{model}", kinds=["challenger"])
        by_hand = {one.facts["challenger"]: one for one in told if one.facts["verdict"] in _BY_HAND}
        last = next((one for one in reversed(told) if one.facts["verdict"] in _BY_HAND), None)
        if last is not None and last.facts["verdict"] == "started":
            started = self._there(last.facts["challenger"])
            if started is not None and started.number != production.number:
                return _Choice(started, "hand", last.message.partition(": ")[2], last)
        choice = self._by_itself(model, production, told)
        ended = by_hand.get(choice.version.ref) if choice.version else None
        if choice.chosen != "trial" and ended is not None and ended.facts["verdict"] == "stopped":
            return _Choice(None, None, f"{ended.message} ({ended.actor})")
        return choice

    def _by_itself(self, model: str, production: ModelVersion, told: list[Event]) -> _Choice:
        for revision in reversed(Deployments(self._ws).history(model)):
            strategy = revision.plan.strategy if revision.plan else ""
            if revision.state == "trial" and strategy in _ONLY_PEOPLE_END:
                version = self._there(f"{model}/{revision.version}")
                if version is not None and version.number != production.number:
                    return _Choice(version, "trial", f"it is in trial as a {strategy}")
        config = self._ws.config.retrain.challenger
        if not config.watch:
            return _Choice(None, None, "none was started, and [retrain.challenger] watch is off")
        if config.version is not None:
            named = self._registry.get(f"{model}/{config.version}")
            if named.number == production.number:
                return _Choice(None, None, f"[retrain.challenger] names {named.ref}, which is in production")
            return _Choice(named, "config", "[retrain.challenger] names it")
        return self._newest(model, production, told)

    def _newest(self, model: str, production: ModelVersion, told: list[Event]) -> _Choice:
        """The newest; but one that is being held stays until it is decided, however many come meanwhile."""
        fitting = {
            one.ref: one
            for one in self._registry.list(model)
            if one.number > production.number and one.status in _BESIDE and one.signature
        }
        verdicts = {  # in the order in which they were told first; of each the latest
            one.facts["challenger"]: one.facts["verdict"]
            for one in told
            if one.facts["production"] == production.ref and one.facts["challenger"] in fitting
        }
        going = [fitting[ref] for ref, verdict in verdicts.items() if verdict not in _OVER]
        if going:
            return _Choice(going[-1], "newest", "it was refused or held, and is not decided yet")
        fresh = [one for ref, one in fitting.items() if ref not in verdicts]
        if fresh:
            newest = max(fresh, key=lambda one: one.number)
            return _Choice(newest, "newest", "it is the newest that was refused or held since production's")
        if verdicts:
            last = next(reversed(verdicts))
            return _Choice(fitting[last], "newest", "none was refused or held since it was decided")
        return _Choice(None, None, f"none was refused or held since {production.ref}")

    def _there(self, ref: str) -> ModelVersion | None:
        try:
            return self._registry.get(ref)
        except NotFound:
            return None

    def _tell(
        self, model: str, challenger: ModelVersion, production: ModelVersion, said: str, sentence: str
    ) -> None:
        """Writes a verdict on the timeline, unless the latest of the two was the same."""
        told = timeline(self._ws.database, f"model:{model}", kinds=["challenger"])
        pair = {"challenger": challenger.ref, "production": production.ref}
        before = [one for one in told if pair.items() <= one.facts.items()]
        verdicts = [one.facts["verdict"] for one in before if one.facts["verdict"] not in _BY_HAND]
        if verdicts and verdicts[-1] == said:
            return
        event_id = f"challenger:{challenger.ref}:{production.ref}:{said}:{len(verdicts)}"
        self._record(model, challenger.ref, production.ref, said, sentence, "monitor", event_id)

    def _record(
        self,
        model: str,
        challenger: str,
        production: str,
        said: str,
        sentence: str,
        actor: str,
        event_id: str | None = None,
    ) -> None:
        event = Event(
            id=event_id or self._ws.ids.new("event"),
            at=self._ws.clock.now(),
            recorded_at=datetime.now(UTC),
            subject=f"model:{model}",
            kind="challenger",
            actor=actor,
            message=sentence,
            facts={"challenger": challenger, "production": production, "verdict": said},
        )
        with self._ws.database.write() as connection:
            record(connection, event)

    def _propose(
        self, challenger: ModelVersion, production: ModelVersion, found: Compared, chosen: ChosenBy | None
    ) -> None:
        """Opens an incident, once for the two."""
        Monitors(self._ws).report(
            Alert(
                id=f"challenger:{challenger.ref}:{production.ref}",
                model=production.model,
                kind="retraining",
                at=self._ws.clock.now(),
                subjects=(challenger.ref,),
                sentence=f"{found.sentence}; {_next(challenger, chosen)}",
                version=production.number,
            )
        )


def _next(challenger: ModelVersion, chosen: ChosenBy | None) -> str:
    if chosen == "trial":
        return "let it take over: treadle deploy promote --reason TEXT"
    if challenger.status == "refused":
        return f"train it again on newer data: treadle run --like {challenger.run}"
    if challenger.status in _BESIDE:
        return f"let it in: treadle models approve {challenger.ref} --reason TEXT"
    return f"put it back: treadle deploy to {challenger.ref} --reason TEXT"
