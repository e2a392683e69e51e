"""Cards: what people write on them, and what is known of a version."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime

from treadle.evaluate import Evaluation, Evaluations
from treadle.experiment import Experiments, Run
from treadle.govern import Usages
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.events import record
from treadle.kernel.types import Event
from treadle.kernel.units import format_bytes
from treadle.kernel.workspace import Workspace
from treadle.registry import catalog_store
from treadle.registry.card import rules, store
from treadle.registry.card.markdown import markdown
from treadle.registry.card.page import page
from treadle.registry.card.types import ENERGY, SECTIONS, Card, CardText, CardTexts, Spent
from treadle.registry.service import Registry
from treadle.registry.types import ModelVersion


class Cards:
    """The cards of a workspace's models.

    Written parts are the model's, and stay whatever is generated beside them; every change is
    kept, with who made it and when.

    Args:
        workspace: Where everything is kept.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._registry = Registry(workspace)

    def texts(self, model: str) -> list[CardText]:
        """The written parts as they stand, in the order of a card.

        Raises:
            NotFound: If there is no such model.
        """
        latest = {one.section: one for one in self.written(model)}
        return [latest[section] for section in SECTIONS if section in latest]

    def written(self, model: str) -> list[CardText]:
        """All that was ever written on a model's card, the oldest first in each section.

        Raises:
            NotFound: If there is no such model.
        """
        self._registry.list(model)
        with self._workspace.database.read() as connection:
            return store.history(connection, model)

    def write(self, new: CardTexts) -> list[CardText]:
        """Writes parts of a card, all of them or none.

        Raises:
            NotFound: If there is no such model.
            InvalidInput: If a part can't be written, or stands twice.
            Conflict: If somebody else has written one since the writer looked.
        """
        sections = [part.section for part in new.parts]
        if len(set(sections)) < len(sections):
            raise InvalidInput("a section stands twice", where=new.model, fix="put both into one")
        if not self._registry.list(new.model):
            raise NotFound(f"{new.model} has no version yet", fix="`treadle run` makes the first")
        at = self._workspace.clock.now()
        with self._workspace.database.write() as connection:
            if not catalog_store.lock_model(connection, new.model):
                raise NotFound(f"{new.model} was deleted right now", fix="treadle models")
            latest = {one.section: one for one in store.history(connection, new.model)}
            for part in new.parts:
                there = latest.get(part.section)
                rules.check(part, there)
                text = part.text.strip()
                if text == (there.text if there else ""):
                    continue
                made = CardText(
                    model=new.model,
                    section=part.section,
                    revision=there.revision + 1 if there else 1,
                    text=text,
                    actor=new.actor,
                    at=at,
                )
                store.add(connection, made)
                record(connection, _event(made))
        return self.texts(new.model)

    def render(self, ref: str, wanted: str) -> str:
        """A version's card as ``html`` or ``md``.

        Raises:
            NotFound: If there is no such model or version.
            InvalidInput: If it isn't made in that format.
        """
        makers = {"html": page, "md": markdown}
        if wanted not in makers:
            raise InvalidInput(f"a card isn't made as {wanted!r:.40}", fix="ask for html or md")
        return makers[wanted](self.card(ref))

    def card(self, ref: str) -> Card:
        """Everything that a version's card tells.

        Raises:
            NotFound: If there is no such model or version.
        """
        version = self._registry.get(ref)
        moves = self._registry.history(version.model)
        return Card(
            version=version,
            texts=tuple(self.texts(version.model)),
            evaluations=tuple(self._evaluations(version)),
            history=tuple(one for one in moves if one.number == version.number),
            spent=self._spent(version),
        )

    def _evaluations(self, version: ModelVersion) -> Iterator[Evaluation]:
        evaluations = Evaluations(self._workspace)
        for one in version.evaluations:
            with contextlib.suppress(NotFound):
                yield evaluations.get(one)
        # Checks that somebody asked for later name the version itself.
        later = evaluations.list(version.ref)
        yield from (one for one in reversed(later) if one.id not in version.evaluations)

    def _spent(self, version: ModelVersion) -> Spent:
        usages = Usages(self._workspace)
        run = self._run(version.run)
        logged = {name: run.metrics[name] for name in ENERGY if name in run.metrics} if run else {}
        return Spent(
            run_cpu=usages.run_used(version.run) if version.run else None,
            cycle_cpu=usages.cycle_used(version.cycle) if version.cycle else None,
            machine=_machine(run) if run else "",
            logged={name: float(value) for name, value in logged.items()},
        )

    def _run(self, run_id: str) -> Run | None:
        with contextlib.suppress(NotFound, InvalidInput):
            return Experiments(self._workspace).get(run_id) if run_id else None
        return None


def _machine(run: Run) -> str:
    hardware = run.provenance.hardware if run.provenance else None
    if hardware is None:
        return ""
    told = [
        hardware.cpu or "",
        f"{hardware.cores} cores" if hardware.cores else "",
        format_bytes(hardware.memory) if hardware.memory else "",
        *(gpu.name for gpu in hardware.gpus),
    ]
    return ", ".join(filter(None, told))


def _event(text: CardText) -> Event:
    title, model = rules.TITLES[text.section], text.model
    did = "written" if text.text else "taken away"
    return Event(
        id=f"card:{model}:{text.section}:{text.revision}",
        at=text.at,
        recorded_at=datetime.now(UTC),
        subject=f"model:{model}",
        kind="card_written",
        actor=text.actor,
        message=f"the card's {title.lower()} {did}, revision {text.revision}",
        facts={"section": text.section, "revision": str(text.revision)},
    )
