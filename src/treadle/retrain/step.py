"""What a stage is given and what it hands back."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from treadle.kernel.workspace import Workspace
from treadle.retrain.types import Cycle, CycleState, NewCycle
from treadle.retrain.work import Work


class CycleContext(msgspec.Struct, frozen=True):
    """What a stage is given.

    Attributes:
        workspace: The project's workspace.
        cycle: The cycle as it stands.
        asked: What was asked for.
        work: What the earlier stages came to.
        say: Tells whoever follows the cycle how far the stage is, in a line.
    """

    workspace: Workspace
    cycle: Cycle
    asked: NewCycle
    work: Work
    say: Callable[[str], None] = lambda _: None


class Step(msgspec.Struct, frozen=True):
    """The result of a stage.

    Attributes:
        work: What the cycle has come to.
        summary: What came of the stage, one sentence.
        end: How the cycle ends here; ``None`` when it goes on.
        cause: By what, where it is refused.
    """

    work: Work
    summary: str
    end: CycleState | None = None
    cause: str = ""
