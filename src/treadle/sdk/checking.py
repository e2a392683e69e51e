"""Checks from a script or a notebook: the same that ``treadle check`` makes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.kernel.errors import InvalidInput, Refused
from treadle.sdk.observing import unseen

if TYPE_CHECKING:
    from treadle.evaluate.types import CheckResult, Evaluation, Kind, Outcome, Verdict
    from treadle.kernel.config import ChecksConfig


class Checked:
    """What checks found; a notebook shows it as a page.

    Args:
        result: What they found.
        page: It as HTML.
    """

    def __init__(self, result: CheckResult, page: str) -> None:
        self.result, self._page = result, page

    @property
    def outcome(self) -> Outcome:
        """``pass``, ``warn``, ``inconclusive`` or ``fail``."""
        return self.result.outcome

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """What was judged, a kind of checks each."""
        return self.result.evaluations

    @property
    def verdicts(self) -> list[Verdict]:
        """All verdicts, one after another."""
        return [verdict for evaluation in self.evaluations for verdict in evaluation.verdicts]

    def require(self) -> None:
        """Goes on only if everything passed, perhaps with warnings.

        Raises:
            Refused: If something failed or couldn't be told, with its sentence.
        """
        open_ones = [one for one in self.verdicts if one.outcome in {"fail", "inconclusive"}]
        open_ones = [one for one in open_ones if not one.exploratory]
        if self.outcome in {"fail", "inconclusive"}:
            more = f" (and {len(open_ones) - 1} more)" if len(open_ones) > 1 else ""
            names = " ".join(one.id for one in self.evaluations)
            raise Refused(
                f"the checks came out {self.outcome}: {open_ones[0].sentence}{more}",
                fix=f"see all of it: treadle check show {names}",
            )

    def __str__(self) -> str:
        lines = [f"checks: {self.outcome}"]
        lines += [f"  {one.outcome}: {one.sentence}" for one in self.verdicts if one.outcome != "pass"]
        passed = sum(one.outcome == "pass" for one in self.verdicts)
        return "\n".join([*lines, f"  {passed} passed"])

    def __repr__(self) -> str:
        return f"<Checked {self.outcome}: {len(self.verdicts)} verdicts>"

    def _repr_html_(self) -> str:
        """A frame of its own, so that the page's styles stay in it."""
        from html import escape

        return f'<iframe srcdoc="{escape(self._page)}" style="width:100%;height:32em;border:0"></iframe>'


def check(
    data: Any = "",
    *,
    reference: Any = "",
    model: str = "",
    against: str = "",
    only: Sequence[Kind] = (),
    checks: ChecksConfig | None = None,
    seed: int = 0,
    again: bool = False,
) -> Checked:
    """Checks data and models by what ``treadle.toml`` declares, or by checks that are given here.

    Args:
        data: A version such as ``flights@v3``, a dataset, a file or folder, or a frame of pandas, Polars
            or PyArrow. The rows that are trained on, when empty.
        reference: What it is held against, in the same ways; what production was trained on, when empty.
        model: A model version that is judged on its held-out rows, such as ``flights/4``.
        against: The version that it is compared with; the one in production when empty.
        only: Only these kinds of checks: ``data``, ``model``, ``behaviour``.
        checks: What is checked, instead of ``[checks]`` in ``treadle.toml``.
        seed: Of everything random.
        again: Whether to judge anew what was judged already.

    Raises:
        ConfigError: If there is nothing to check, or a check can't be meant.
        NotFound: If there is no such data or model version.
        InvalidInput: If what is judged can't be used.
        CorruptData: If a file can't be read.
        Unavailable: If a server holds the project and doesn't answer.
    """
    from treadle.client import connect
    from treadle.evaluate.types import CheckRequest

    with unseen(), connect() as client, tempfile.TemporaryDirectory(prefix="treadle-") as made:
        asked = CheckRequest(
            data=_named(data, Path(made) / "data.parquet"),
            reference=_named(reference, Path(made) / "reference.parquet"),
            model=model,
            against=against,
            only=tuple(only),
            checks=checks,
            seed=seed,
            again=again,
        )
        found = client.check(asked)
        page = client.check_report([one.id for one in found.evaluations], "html")
    return Checked(found, page.decode())


def _named(given: Any, place: Path) -> str:
    """What is named, as the API takes it; a frame becomes a file.

    Raises:
        InvalidInput: If it is none of these.
    """
    if isinstance(given, str):
        return str(Path(given).resolve()) if given and "@" not in given and Path(given).is_file() else given
    if isinstance(given, os.PathLike):
        return str(Path(given).resolve())
    for write in ("to_parquet", "write_parquet"):
        if hasattr(given, write):
            getattr(given, write)(place)
            return str(place)
    if hasattr(given, "to_batches"):
        import pyarrow.parquet

        pyarrow.parquet.write_table(given, place)
        return str(place)
    raise InvalidInput(
        f"{type(given).__name__} is no data that can be checked",
        fix="give a path, a dataset's version, or a frame of pandas, Polars or PyArrow",
    )
