"""What identifies a version of a table, and what of a new schema it takes. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from treadle.data.tables.types import ActiveFile
from treadle.data.types import DatasetVersion, Source
from treadle.kernel.errors import InvalidInput
from treadle.kernel.ids import digest_bytes

# What a value of one type fits into without loss.
# https://github.com/delta-io/delta/blob/master/PROTOCOL.md#type-widening
_WIDER: Mapping[str, tuple[str, ...]] = {
    "byte": ("short", "integer", "long", "double"),
    "short": ("integer", "long", "double"),
    "integer": ("long", "double"),
    "float": ("double",),
    "date": ("timestamp_ntz",),
}


def version_digest(table: str, schema: str, files: Sequence[ActiveFile]) -> str:
    """BLAKE3 over the table's identifier, its schema and its active files.

    Not over the number of the Delta version: a commit that changes no rows, such as a vacuum
    or a constraint, leaves the content what it was.
    """
    listed = sorted((file.path, file.size, file.deleted) for file in files)
    return digest_bytes(msgspec.json.encode((table, schema, listed)))


def pin_of(version: DatasetVersion) -> tuple[str, int] | None:
    """The table's identifier and the Delta version of a dataset version; None if it isn't of a table."""
    for source in version.origin:
        found = re.fullmatch(r"delta:(\d+) (\S+)", source.detail) if source.kind == "table" else None
        if found:
            return found[2], int(found[1])
    return None


def origin(url: str, table: str, version: int) -> Source:
    """How a dataset version says which table it is; read by :func:`pin_of`."""
    return Source("table", url, f"delta:{version} {table}")


def parse_at(at: str) -> int | datetime | None:
    """Reads a version of a table: ``12``, ``delta:12``, a moment, or nothing.

    Returns:
        A Delta version, a moment in UTC, or None for the latest.

    Raises:
        InvalidInput: If it is none of them, or a moment without a zone.
    """
    if at in ("", "latest"):
        return None
    number = re.fullmatch(r"(?:delta:)?(\d{1,18})", at)
    if number:
        return int(number[1])
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidInput(
            f"{at!r} names no version of a table" if moment is None else f"{at!r} has no time zone",
            fix="write a Delta version such as 12, or a moment such as 2026-01-03T10:00:00Z",
        )
    return moment.astimezone(UTC)


def is_time_travel(version: str) -> bool:
    """Whether what follows ``@`` names a Delta version or a moment, and not a dataset version."""
    return bool(re.fullmatch(r"delta:\d+|\d{4}-\d\d-\d\d.*", version))


class Fit(msgspec.Struct, frozen=True):
    """How new rows fit a table.

    Attributes:
        added: Columns that the table gets.
        widened: Columns of the table that get a type that holds more, with it.
    """

    added: tuple[str, ...] = ()
    widened: tuple[tuple[str, str], ...] = ()


def fit(table: Mapping[str, str], rows: Mapping[str, str], evolve: str) -> Fit:
    """What of a table must change so that rows can be written to it.

    Args:
        table: The table's columns and their Delta types.
        rows: The new rows' columns and their Delta types.
        evolve: The dataset's policy.

    Raises:
        InvalidInput: Naming every column that the policy doesn't allow.
    """
    wrong: list[str] = []
    added = [name for name in rows if name not in table]
    missing = [name for name in table if name not in rows]
    widened: list[tuple[str, str]] = []
    needs = ""
    if added and evolve == "refuse":
        wrong.append(f"{_named(added)} in the new rows and not in the table")
        needs = "add"
    if missing and evolve == "refuse":
        wrong.append(f"{_named(missing)} in the table and not in the new rows")
        needs = "add"
    for name in rows:
        before, now = table.get(name), rows[name]
        if before is None or before == now or before in _WIDER.get(now, ()):
            continue
        if now in _WIDER.get(before, ()):
            if evolve == "widen":
                widened.append((name, now))
                continue
            needs = "widen"
        wrong.append(f"{name!r} is {before} in the table and {now} in the new rows")
    if wrong:
        how = f'set evolve = "{needs}" to take it, or ' if needs else ""
        raise InvalidInput(
            f"the rows don't fit the table: {'; '.join(wrong)}; nothing was written",
            fix=f"{how}cast them with --query, to which the rows of --from are the table `file`",
        )
    return Fit(tuple(added), tuple(widened))


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{shown}{more} {'is' if len(names) == 1 else 'are'}"
