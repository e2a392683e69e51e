"""What every row of a table fulfils, and which rows don't."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from treadle.data.tables.types import Constraint
from treadle.kernel.errors import InvalidInput

if TYPE_CHECKING:
    from deltalake import DeltaTable

_PREFIX = "delta.constraints."
VIOLATED = "failed validation check"
"""How delta-rs says that rows violate a constraint."""

Ask = Callable[[str], list[dict[str, Any]]]


def constraints_of(table: DeltaTable) -> tuple[Constraint, ...]:
    """The constraints of a table, by name."""
    found = table.metadata().configuration
    return tuple(
        Constraint(name.removeprefix(_PREFIX), check)
        for name, check in sorted(found.items())
        if name.startswith(_PREFIX)
    )


def asking(table: DeltaTable) -> Ask:
    """Answers SQL over the rows of a table ``t`` by delta-rs's own engine, which judges constraints."""
    from deltalake import QueryBuilder

    def ask(sql: str) -> list[dict[str, Any]]:
        found: Any = QueryBuilder().register("t", table).execute(sql).read_all()
        return [row for batch in found.to_batches() for row in batch.to_struct_array().to_pylist()]

    return ask


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def violated(
    constraints: Sequence[Constraint], rows: str, ask: Ask, what: str, said: str = ""
) -> InvalidInput:
    """The error for rows that violate constraints: which, how many rows, and some of them.

    Args:
        constraints: Those that may be violated.
        rows: SQL of the rows, as a table expression.
        ask: Answers SQL.
        what: What was refused, such as ``nothing was written``.
        said: What the library said, should the rows not show it.
    """
    for one in constraints:
        wrong = f"FROM {rows} WHERE NOT ({one.check})"  # what is unknown isn't violated
        try:
            [counted] = ask(f"SELECT count(*) AS n {wrong}")
            examples = ask(f"SELECT * {wrong} LIMIT 3") if counted["n"] else []
        except Exception:  # noqa: BLE001, S112 - the other engine reads this condition differently
            continue
        if counted["n"]:
            shown = "; ".join(
                ", ".join(f"{name}={_shown(value)}" for name, value in list(row.items())[:8])
                for row in examples
            )
            count = f"{counted['n']:,} {'row violates' if counted['n'] == 1 else 'rows violate'}"
            return InvalidInput(
                f"{count} the constraint {one.name!r} ({one.check}), such as {shown}; {what}",
                fix="correct the rows, or drop the constraint",
            )
    lines = [line for line in said.splitlines() if line.strip()]
    names = ", ".join(f"{one.name!r} ({one.check})" for one in constraints)
    preview = " ".join(line for line in lines if line.startswith("|"))[:300]
    return InvalidInput(
        f"rows violate a constraint of {names}: {preview}; {what}",
        fix="correct the rows, or drop the constraint",
    )
