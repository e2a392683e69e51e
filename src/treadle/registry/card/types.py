"""What stands on a model's card: written parts, each with its author, and what is known."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

import msgspec

from treadle.evaluate.types import Evaluation
from treadle.registry.types import ModelVersion, Transition

Section = Literal["intended-use", "limits", "ethical-considerations", "owners", "licence"]
SECTIONS: tuple[Section, ...] = get_args(Section)
CardFormat = Literal["html", "md"]


class CardText(msgspec.Struct, frozen=True, kw_only=True):
    """A written part of a model's card.

    Attributes:
        model: The model.
        section: Which part.
        revision: Counts what was written there, from 1.
        text: Markdown; empty if the part was taken away.
        actor: Who wrote it.
        at: When.
    """

    model: str
    section: Section
    revision: int
    text: str
    actor: str
    at: datetime


class NewCardText(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a card to be written.

    Attributes:
        section: Which part.
        text: Markdown, without headings of the first two levels; empty to take the part away.
        over: The revision that the writer saw, 0 for none; written whatever is there when None.
    """

    section: Section
    text: str
    over: int | None = None


class CardTexts(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of a card that are written together.

    Attributes:
        model: The model.
        parts: The parts; those that say what stands there already change nothing.
        actor: Who writes.
    """

    model: str
    parts: tuple[NewCardText, ...]
    actor: str = ""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What making a version took, as far as it was recorded.

    Attributes:
        run_cpu: CPU-seconds of the run that made it; None if nobody metered it.
        cycle_cpu: CPU-seconds of the whole cycle, its other replicas included; None without a cycle.
        machine: What the run ran on.
        logged: What the run logged of energy and emissions, by name; see ``ENERGY``.
    """

    run_cpu: float | None = None
    cycle_cpu: float | None = None
    machine: str = ""
    logged: dict[str, float] = {}


ENERGY: dict[str, str] = {
    "emissions": "kg of CO2 equivalent",
    "energy_consumed": "kWh",
    "cpu_energy": "kWh",
    "gpu_energy": "kWh",
    "ram_energy": "kWh",
}
"""Names under which CodeCarbon tells energy and emissions, with their units
(https://mlco2.github.io/codecarbon/output.html)."""


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a card tells of a version.

    Attributes:
        version: The version.
        texts: The written parts as they stand.
        evaluations: What the version went through; those that aren't kept any more are left out.
        history: Its changes of status, oldest first.
        spent: What making it took.
    """

    version: ModelVersion
    texts: tuple[CardText, ...]
    evaluations: tuple[Evaluation, ...]
    history: tuple[Transition, ...]
    spent: Spent

    def text(self, section: Section) -> CardText | None:
        """A written part; None if nobody has written it."""
        return next((one for one in self.texts if one.section == section), None)
