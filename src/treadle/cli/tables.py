"""Tables for other programs: CSV as RFC 4180 has it, with exact values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime

import click

_AT_ONCE = 1000


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints rows under their headings, some at a time: there may be very many.

    Numbers have every digit, moments are ISO 8601, nothing is an empty field, and no value is changed:
    a text that begins with ``=`` stays as it is, and a spreadsheet that opens it may take it for a formula.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for number, row in enumerate(rows, start=1):
        writer.writerow([_plain(value) for value in row])
        if number % _AT_ONCE == 0:
            click.echo(buffer.getvalue(), nl=False)
            buffer.seek(0)
            buffer.truncate()
    click.echo(buffer.getvalue(), nl=False)


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, dict | list | tuple):
        import msgspec

        return msgspec.json.encode(value).decode()
    return value
