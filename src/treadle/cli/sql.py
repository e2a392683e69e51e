"""``treadle sql``: questions in SQL over runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli import show
from treadle.cli.app import App, json_option, pass_app
from treadle.cli.tables import print_csv
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.client import SqlAnswer
    from treadle.experiment import SqlTable

_SHOWN, _ALL = 1_000, 1_000_000


@click.command(short_help="Ask runs, metrics and curves in SQL; read-only")
@click.argument("query", required=False)
@click.option("--schema", is_flag=True, help="List the tables and their columns.")
@click.option("--limit", type=click.IntRange(1, _ALL), help="How many rows (1,000 on the screen).")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV and nothing else.")
@click.option(
    "--parquet", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write a Parquet file."
)
@json_option
@pass_app
def sql(
    app: App, query: str | None, schema: bool, limit: int | None, as_csv: bool, parquet: Path | None
) -> None:
    """Ask one SELECT, in DuckDB's SQL, over runs and what they logged.

    The query - reads from standard input.
    """
    if schema:
        app.answer(app.client.sql_tables(), show_tables)
        return
    if query == "-":
        query = sys.stdin.read()
    if not query:
        raise InvalidInput("there is no query", fix='treadle sql "SELECT …", or treadle sql --schema')
    if parquet is not None:
        app.client.sql_parquet(query, parquet, limit or _ALL)
        size = parquet.stat().st_size
        app.answer(
            {"file": str(parquet), "bytes": size},
            lambda _: show.say(f"wrote {parquet} ({format_bytes(size)})"),
        )
        return
    plain = not (app.json or as_csv)
    answer = app.client.sql(query, limit or (_SHOWN if plain else _ALL))
    if as_csv:
        print_csv(answer.names, answer)
    elif app.json:
        print_json(answer)
    else:
        show_answer(answer)
    if answer.end is not None and answer.end.more:
        note = f"there are more rows than these {answer.end.rows:,}: --limit raises the limit"
        if plain:
            show.say(note, "dim")
        else:
            click.echo(note, err=True)


def show_tables(tables: list[SqlTable]) -> None:
    """Prints tables and their columns."""
    rows = [
        (table.name if first else "", column.name, column.type, column.about)
        for table in tables
        for first, column in [(place == 0, one) for place, one in enumerate(table.columns)]
    ]
    show.table(["!table", "!column", "!type", "what"], rows)
    show.following('treadle sql "SELECT experiment, count(*) FROM runs GROUP BY ALL"')


def show_answer(answer: SqlAnswer) -> None:
    """Prints an answer as a table."""
    numbers = ("INT", "DOUBLE", "FLOAT", "DECIMAL")
    headings = [
        f">{name}" if any(kind in column.type for kind in numbers) else name
        for name, column in zip(answer.names, answer.columns, strict=True)
    ]
    show.table(headings, answer, empty="no rows")


def print_json(answer: SqlAnswer) -> None:
    """Prints an answer as a list of objects, row by row."""
    import msgspec

    names = answer.names
    click.echo("[", nl=False)
    for number, row in enumerate(answer):
        line = msgspec.json.encode(dict(zip(names, row, strict=True))).decode()
        click.echo(("," if number else "") + "\n" + line, nl=False)
    click.echo("\n]")
