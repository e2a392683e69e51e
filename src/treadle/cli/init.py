"""``treadle init``: writes a commented ``treadle.toml`` by looking at the folder."""

from __future__ import annotations

import json
import math
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import click

from treadle.cli import show
from treadle.cli.app import App, pass_app
from treadle.cli.guess import Guess, guess
from treadle.cli.look import TableFacts, find_tables
from treadle.kernel.config import parse_config
from treadle.kernel.errors import Conflict, NotFound
from treadle.kernel.files import storage_errors
from treadle.kernel.names import check_name

FILE = "treadle.toml"
SCRIPT = "train.py"


@click.command(short_help="Write treadle.toml by looking at the folder")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", metavar="NAME", help="The project's name; the folder's by default.")
@pass_app
def init(app: App, folder: Path | None, name: str | None) -> None:
    """Write a commented treadle.toml by looking at a folder; the working folder by default.

    It never overwrites one. Columns are guessed from names, types and values: check them.
    """
    root = (app.start / folder).resolve() if folder else app.start
    if not root.is_dir():
        raise NotFound(
            "there is no such folder", where=str(root), fix="make it, put the data there, and try again"
        )
    path = root / FILE
    if path.exists():
        raise Conflict("there is one already", where=str(path), fix="edit it; `treadle doctor` checks it")
    project = check_name("project", name) if name else safe_name(root.name)
    tables = find_tables(root)
    guesses = [guess(table) for table in tables]
    script = (root / SCRIPT).is_file()
    text = render(project, tables, guesses, script=script)
    parse_config(text)
    with storage_errors(str(path)), path.open("x", encoding="utf-8") as file:
        file.write(text)
    show.say(f"wrote {FILE} for project {project}; what is guessed in it says so")
    _tell(tables, guesses, folder, script=script)


def _tell(tables: list[TableFacts], guesses: list[Guess], folder: Path | None, *, script: bool) -> None:
    """Says what was found, what is missing, and what to do next."""
    show.facts(
        (f"  [data.{name}]", _sentence(table)) for name, table in zip(names(tables), tables, strict=True)
    )
    chosen = choice(guesses)
    if chosen is not None:
        found = guesses[chosen]
        show.facts(
            [
                ("  label", found.label),
                ("  known at", found.label_time),
                ("  time", found.time),
                ("  key", found.key),
                ("  features", ", ".join(found.features)),
            ]
        )
    missing = _missing(tables, guesses, script=script)
    for sentence in missing:
        show.item("warn", sentence)
    there = f"treadle --project {shlex.quote(str(folder))}" if folder else "treadle"
    show.following(f"{there} doctor" if missing else f"{there} run --plan")


def _missing(tables: list[TableFacts], guesses: list[Guess], *, script: bool) -> list[str]:
    """What the user has to add or to look at."""
    found = [f"{table.path} can't be read: {table.trouble}" for table in tables if table.trouble]
    if not tables:
        found.append("no Parquet or CSV file here: add [data.NAME] with its path")
    elif not find_spec("duckdb"):
        found.append("nobody looked inside the data: DuckDB comes with pip install 'treadle[platform]'")
    elif choice(guesses) is None:
        lacks = [word for word, has in (("time", any(g.time for g in guesses)),
                                        ("label", any(g.label for g in guesses))) if not has]  # fmt: skip
        found.append(f"no {' and no '.join(lacks) or 'feature'} column was recognised: name it in [data.*]")
    if not script:
        found.append(f"no {SCRIPT} here: write one, then uncomment [train] and say how to start it")
    return found


def _sentence(table: TableFacts) -> str:
    if table.rows is None:
        return table.path
    return f"{table.path}: {show.counted(table.rows, 'row')}, {show.counted(len(table.columns), 'column')}"


def safe_name(text: str) -> str:
    """A folder's or file's name as a project or a dataset may be named."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-_")[:100].rstrip("-_")
    return plain or "project"


def names(tables: list[TableFacts]) -> list[str]:
    """A name for each dataset, each once."""
    found: list[str] = []
    for table in tables:
        name = safe_name(Path(table.path).stem)
        number = 2
        while name in found:
            name = f"{safe_name(Path(table.path).stem)}-{number}"
            number += 1
        found.append(name)
    return found


def choice(guesses: list[Guess]) -> int | None:
    """Which dataset to train on: the largest that a model can be trained on."""
    return next((index for index, found in enumerate(guesses) if found.trainable), None)


def quoted(value: str) -> str:
    """Text as TOML writes it."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def render(project: str, tables: list[TableFacts], guesses: list[Guess], *, script: bool) -> str:
    """The text of ``treadle.toml``."""
    chosen = choice(guesses)
    binary = chosen is None or guesses[chosen].binary
    head = (
        "# What this project is and what its loop may do; `treadle run --plan` explains what follows.\n"
        "# Lines behind a # show a key and its default, or an example.\n\n"
        "[project]\n"
        f"name = {quoted(project)}\n"
        f'task = "{"binary" if binary else "regression"}"  # what the model predicts: binary or regression\n'
    )
    parts = [head]
    for index, (name, table) in enumerate(zip(names(tables), tables, strict=True)):
        parts.append(_data(name, table, guesses[index]))
    if not tables:
        parts.append(
            '# [data.NAME]\n# path = "data/rows.parquet"  # Parquet or CSV: a file, or a folder of them\n'
        )
    if chosen is None:
        parts.append(_train("NAME", Guess(), None, script=False))
        parts.append(_rest(None, Guess(), binary=True))
    else:
        name = names(tables)[chosen]
        parts.append(_train(name, guesses[chosen], tables[chosen], script=script))
        parts.append(_rest(tables[chosen], guesses[chosen], binary=binary))
    return "\n".join(parts)


def _data(name: str, table: TableFacts, found: Guess) -> str:
    if table.trouble:
        return (
            f"# can't be read: {_one_line(table.trouble)}\n# [data.{name}]\n# path = {quoted(table.path)}\n"
        )
    note = f"  # {show.counted(table.rows, 'row')}" if table.rows is not None else ""
    return (
        f"[data.{name}]\n"
        f"path = {quoted(table.path)}{note}\n"
        + _key("time", found.time, "says when a row happened")
        + _key("key", found.key, "names a row; late labels are joined by it")
        + _key("label", found.label, "what to predict")
        + _key("label_time", found.label_time, "when the label became known; else the row's own time")
    )


def _key(key: str, value: str | None, meaning: str) -> str:
    if value is None:
        return f'# {key} = "COLUMN"  # {meaning}\n'
    return f"{key} = {quoted(value)}  # guessed: {meaning}\n"


def _one_line(text: str) -> str:
    return " ".join(show.clean(text).split())


def _train(name: str, found: Guess, table: TableFacts | None, *, script: bool) -> str:
    features = "".join(f"  {quoted(feature)},\n" for feature in found.features)
    text = (
        "[train]\n"
        f'command = "python {SCRIPT}"\n'
        f"data = {quoted(name)}\n"
        "# Guessed. Leave out what isn't known yet when a prediction is asked for.\n"
        f"features = [\n{features}]\n"
    )
    for column, why in found.left_out.items():
        text += f"# left out: {quoted(column)}, {_one_line(why)}\n"
    text += f'holdout = "{holdout(table)}"  # the newest rows, kept from training to judge the model on\n'
    if not script:
        text = "# How the model is made: uncomment this once there is a script.\n" + _commented(text)
    return text + (
        '# window = "90d"  # how much of the past to train on; everything when left out\n'
        "# replicas = 3  # train with so many seeds: shows what is noise\n"
        '# timeout = "1h"\n'
        "# params = { depth = 6, rate = 0.1 }  # given to the script as run.params\n"
    )


def holdout(table: TableFacts | None) -> str:
    """How much to hold out: 14 days, or a fifth of data that covers less than ten weeks."""
    days = table.span.total_seconds() / 86_400 if table and table.span else 0.0
    if days == 0 or days >= 70:
        return "14d"
    return f"{round(days / 5)}d" if days >= 5 else f"{max(1, round(days * 24 / 5))}h"


def _commented(text: str) -> str:
    return "".join(f"# {line}\n".replace("# # ", "# ") for line in text.splitlines())


def _rest(table: TableFacts | None, found: Guess, *, binary: bool) -> str:
    text = (
        "# What the data and a candidate must be before a candidate may replace production.\n[checks.data]\n"
    )
    text += f"min_rows = {_least(table)}\n" if table and table.rows else "# min_rows = 1000\n"
    if found.key:
        text += f"unique = [{quoted(found.key)}]\n"
    text += "# The largest share of missing values; a column that isn't named may have none.\n"
    text += f"max_null = {{ {', '.join(_nulls(table, found)) or ''} }}\n".replace("{  }", "{}")
    metric, bound, margin, wider = (
        ("roc_auc", "0.7", "0.01", "0.02") if binary else ("mae", "10.0", "0.1", "0.2")
    )
    return text + (
        "\n[checks.performance]\n"
        f'metric = "{metric}"\n'
        f"# bound = {bound}  # what the metric must reach, with confidence\n"
        f"# margin = {margin}  # how much worse than production still counts as no worse\n"
        f"# gain = {margin}  # what a change is worth: a candidate that surely gains less is refused\n"
        '# cluster = "COLUMN"  # rows that stand or fall together, such as a customer\'s\n'
        "\n[checks.groups]\n"
        "# by = []  # columns whose values are the groups for which nothing may get worse\n"
        f"# margin = {wider}  # the same for a group, which is smaller and known less well\n"
        "\n[registry]\n"
        '# approval = "manual"  # hold each version until `treadle models approve`\n'
        "\n[monitor]\n"
        '# every = "7d"\n'
        '# webhook = "https://..."  # where alerts are posted\n'
        "\n[retrain]\n"
        '# on = ["performance"]  # or estimated, input, prediction: the alerts that start a cycle\n'
        '# cooldown = "28d"\n'
        "\n[budget]\n"
        '# cycle = "2h"  # processor time that one cycle may take\n'
    )


def _least(table: TableFacts) -> int:
    """A quarter of the rows that there are, and at most the default."""
    rows = table.rows or 0
    return min(1000, max(1, rows // 4))


def _nulls(table: TableFacts | None, found: Guess) -> list[str]:
    """Twice the share of missing values that there is now, by feature."""
    shares = {column.name: column.nulls for column in table.columns} if table else {}
    return [
        f"{quoted(name)} = {min(1.0, math.ceil(shares[name] * 200) / 100):g}"
        for name in found.features
        if shares.get(name)
    ]
