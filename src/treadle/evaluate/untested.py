"""What isn't tested, and is told."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.evaluate.types import Verdict

_NAMED = 20


def too_small(
    groups: Sequence[tuple[str, int]],
    least: int,
    unit: str = "rows",
    check: str = "small_groups",
    what: str = "",
) -> list[Verdict]:
    """That groups are too small to be tested; nothing where there are none.

    Args:
        groups: Their names and sizes.
        least: How large a group has to be.
        unit: What is counted.
        check: Which check it is.
        what: For what they aren't tested, such as `` for bias``.
    """
    if not groups:
        return []
    named = ", ".join(f"{name} ({size:,} {unit})" for name, size in groups[:_NAMED])
    rest = f" and {len(groups) - _NAMED:,} more" if len(groups) > _NAMED else ""
    return [
        Verdict(
            check=check,
            subject="groups",
            outcome="pass",
            sentence=f"Too small to be tested{what} (under {least:,} {unit}): {named}{rest}.",
            bound=float(least),
            n=len(groups),
            unit="groups",
            groups=tuple(name for name, _ in groups),
        )
    ]
