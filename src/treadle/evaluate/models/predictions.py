"""Predictions as files: labels, scores, groups and keys, of one file or of two that are paired by key."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from treadle.data import csv_to_parquet
from treadle.evaluate.holdout import MISSING, Column, Holdout, column_types, is_number, require
from treadle.evaluate.models.measures import Floats
from treadle.evaluate.types import Verdict
from treadle.kernel.config import ChecksConfig, PredictionsConfig
from treadle.kernel.engine import Engine, quote
from treadle.kernel.errors import InvalidInput

_TIMES = ("DATE", "TIMESTAMP")


class Predictions(msgspec.Struct, frozen=True, kw_only=True):
    """What was read.

    Attributes:
        holdout: The rows.
        candidate: The candidate's scores, an array a seed; with one column a class where there are several.
        production: Production's, likewise.
        only_candidate: Rows that the other file doesn't have.
        only_production: Rows of the other file that this one doesn't have.
    """

    holdout: Holdout
    candidate: tuple[Floats, ...]
    production: tuple[Floats, ...]
    only_candidate: int = 0
    only_production: int = 0


def load_predictions(
    engine: Engine, checks: ChecksConfig, path: Path, spec: PredictionsConfig, other: Path | None = None
) -> Predictions:
    """Reads a file of predictions, Parquet or CSV.

    Args:
        engine: Reads.
        checks: Names groups and the cluster.
        path: The file with labels, groups and the candidate's scores.
        spec: What its columns are; the paths in it aren't looked at.
        other: A file with production's scores, paired by key; this one has them when left out.

    Raises:
        InvalidInput: If a column isn't there or is of the wrong kind, a label or cluster is missing, a key
            is missing or there twice, no row is in both files, or they disagree about labels.
        CorruptData: If a file can't be read.
    """
    if not spec.candidate:
        raise InvalidInput("nothing says which column has the candidate's scores")
    if other is not None and not spec.key:
        raise InvalidInput("two files are paired by a key", fix="name the column that names a row")
    with _parquet(engine, [path] if other is None else [path, other]) as files:
        return _Reading(engine, checks, files, spec, [path] if other is None else [path, other]).read()


def pairing(found: Predictions) -> Verdict | None:
    """Whether both models predicted all rows; None where there was one file or nothing is missing.

    A model that is silent on the rows that are hard looks better than it is.
    """
    if not found.only_candidate and not found.only_production:
        return None
    rows = len(found.holdout.labels)
    return Verdict(
        check="pairing",
        subject="rows",
        outcome="inconclusive",
        sentence=f"{rows:,} rows have predictions of both models; {found.only_candidate:,} only of the "
        f"candidate and {found.only_production:,} only of production, and aren't judged.",
        n=rows,
    )


@contextmanager
def _parquet(engine: Engine, paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Files as Parquet: of CSV files a copy is made for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for i, path in enumerate(paths):
            if path.suffix.lower() == ".csv":
                made.append(Path(folder) / f"{i}.parquet")
                csv_to_parquet(engine, path, made[-1])
            else:
                made.append(path)
        yield made


class _Reading:
    """One file, or two that are paired."""

    def __init__(
        self,
        engine: Engine,
        checks: ChecksConfig,
        files: list[Path],
        spec: PredictionsConfig,
        named: Sequence[Path],
    ) -> None:
        self._engine, self._checks, self._spec = engine, checks, spec
        self._tables = dict(zip(("a", "b"), files, strict=False))
        self._types = {name: column_types(engine, file) for name, file in self._tables.items()}
        self._named = dict(zip(("a", "b"), map(str, named), strict=False))

    def read(self) -> Predictions:
        """What the files hold."""
        spec, checks = self._spec, self._checks
        rows = self._sizes()
        for name, count in rows.items():
            if not count:
                raise InvalidInput(
                    "there are no rows", where=self._named[name], fix="see what wrote the file"
                )
        self._check()
        theirs = "b" if "b" in self._tables else "a"
        ours = [self._columns("a", name) for name in spec.candidate]
        others = [self._columns(theirs, name) for name in spec.production]
        groups = list(dict.fromkeys([*checks.groups.columns, *checks.bias.columns]))
        cluster = checks.performance.cluster
        parts = [f"a.{quote(spec.label)} AS y"]
        parts += [f"CAST({one} AS DOUBLE) AS s{i}" for i, one in enumerate(_flat([*ours, *others]))]
        parts += [
            f"coalesce(CAST(a.{quote(g)} AS VARCHAR), '{MISSING}') AS g{i}" for i, g in enumerate(groups)
        ]
        parts += [f"a.{quote(name)} AS x{i}" for i, name in enumerate(spec.features)]
        daily = cluster is not None and self._types["a"][cluster].startswith(_TIMES)
        if cluster is not None:
            column = f"a.{quote(cluster)}"
            parts.append(
                f"{f'floor(epoch({column}) / 86400)' if daily else f'CAST({column} AS VARCHAR)'} AS c"
            )
        joined = f" JOIN b ON a.{quote(spec.key)} = b.{quote(spec.key)}" if "b" in self._tables else ""
        found = self._engine.columns(f"SELECT {', '.join(parts)} FROM a{joined}", tables=self._tables)  # noqa: S608
        scores = iter(_stacked([*ours, *others], found))
        holdout = Holdout(
            labels=self._labels(found["y"]),
            inputs={name: found[f"x{i}"] for i, name in enumerate(spec.features)},
            groups={name: found[f"g{groups.index(name)}"] for name in checks.groups.columns},
            columns={name: found[f"g{groups.index(name)}"] for name in checks.bias.columns},
            clusters=None if cluster is None else _numbered(found["c"], cluster),
            unit="rows" if cluster is None else "days" if daily else f"values of {cluster}",
        )
        both = len(holdout.labels)
        return Predictions(
            holdout=holdout,
            candidate=tuple(next(scores) for _ in ours),
            production=tuple(next(scores) for _ in others),
            only_candidate=rows["a"] - both,
            only_production=rows.get("b", both) - both,
        )

    def _sizes(self) -> dict[str, int]:
        return {
            name: int(self._engine.rows(f"SELECT count(*) FROM {name}", tables={name: file})[0][0])  # noqa: S608
            for name, file in self._tables.items()
        }

    def _check(self) -> None:
        """Refuses columns that aren't there, keys that can't pair, and labels that disagree."""
        spec, checks, types = self._spec, self._checks, self._types
        cluster = checks.performance.cluster
        named = [
            spec.label,
            *spec.features,
            *([cluster] if cluster else []),
            *([spec.key] if spec.key else []),
        ]
        require([*named, *checks.groups.columns, *checks.bias.columns], types["a"], self._named["a"])
        numeric = types["a"][spec.label] == "BOOLEAN" or is_number(types["a"][spec.label])
        if not spec.classes and not numeric:
            raise InvalidInput(
                f"label {spec.label!r} is {types['a'][spec.label]}, neither number nor boolean",
                where=self._named["a"],
            )
        if spec.key:
            for name in self._tables:
                self._check_key(name)
        if "b" in self._tables:
            self._check_pairs()

    def _check_key(self, name: str) -> None:
        require([self._spec.key], self._types[name], self._named[name])
        key = quote(self._spec.key)
        [(empty, twice)] = self._engine.rows(
            f"SELECT count(*) - count({key}), count({key}) - count(DISTINCT {key}) FROM t",  # noqa: S608 - quoted
            tables={"t": self._tables[name]},
        )
        if empty or twice:
            what = f"{empty:,} rows have no key" if empty else f"{twice:,} keys are there more than once"
            raise InvalidInput(
                f"{what}: such rows can't be paired",
                where=f"{self._named[name]}, column {self._spec.key!r}",
                fix="name a column whose values are all there, each once",
            )

    def _check_pairs(self) -> None:
        spec, types = self._spec, self._types
        kinds = [types[name][spec.key] for name in ("a", "b")]
        if kinds[0] != kinds[1] and not all(map(is_number, kinds)):
            raise InvalidInput(
                f"the key is {kinds[0]} in one file and {kinds[1]} in the other",
                where=f"column {spec.key!r}",
                fix="write it as the same kind in both",
            )
        key, label = quote(spec.key), quote(spec.label)
        on = f"FROM a JOIN b ON a.{key} = b.{key}"
        [(both,)] = self._engine.rows(f"SELECT count(*) {on}", tables=self._tables)
        if not both:
            raise InvalidInput("no row is in both files", where=f"column {spec.key!r}")
        if spec.label in types["b"]:
            [(apart,)] = self._engine.rows(
                f"SELECT count(*) {on} WHERE CAST(a.{label} AS VARCHAR) IS DISTINCT FROM "  # noqa: S608
                f"CAST(b.{label} AS VARCHAR)",
                tables=self._tables,
            )
            if apart:
                raise InvalidInput(
                    f"the files disagree about the label of {apart:,} of {both:,} rows",
                    where=f"column {spec.label!r}",
                )

    def _columns(self, table: str, name: str) -> list[str]:
        """The columns of one model, as SQL: one, or one a class."""
        names = [f"{name}_{one}" for one in self._spec.classes] or [name]
        types = self._types[table]
        require(names, types, self._named[table])
        for one in names:
            if not is_number(types[one]):
                raise InvalidInput(
                    f"scores {one!r} are {types[one]}, no numbers",
                    where=self._named[table],
                    fix="name a column of numbers: what the model gives, not the class decided",
                )
        return [f"{table}.{quote(one)}" for one in names]

    def _labels(self, values: Column) -> Column:
        missing = int(np.ma.getmaskarray(values).sum())
        if missing:
            raise InvalidInput(
                f"{missing:,} of {len(values):,} rows have no label",
                where=f"column {self._spec.label!r}",
                fix="leave those rows out, or fill the column",
            )
        if not self._spec.classes:
            return np.asarray(values, dtype=np.float64)
        number = {name: i for i, name in enumerate(self._spec.classes)}
        texts = [str(value) for value in np.asarray(values).tolist()]
        odd = next((text for text in texts if text not in number), None)
        if odd is not None:
            raise InvalidInput(
                f"{odd!r} is none of the classes {', '.join(number)}", where=f"column {self._spec.label!r}"
            )
        return np.array([number[text] for text in texts], dtype=np.float64)


def _flat(columns: Sequence[Sequence[str]]) -> list[str]:
    return [one for several in columns for one in several]


def _stacked(columns: Sequence[Sequence[str]], found: Mapping[str, Column]) -> Iterator[Floats]:
    """The scores of each model: a column, or a column a class."""
    place = 0
    for names in columns:
        mine = [found[f"s{place + i}"] for i in range(len(names))]
        place += len(names)
        yield mine[0] if len(mine) == 1 else np.ma.stack(mine, axis=1)


def _numbered(values: Column, column: str) -> Column:
    missing = int(np.ma.getmaskarray(values).sum())
    if missing:
        raise InvalidInput(f"{missing:,} rows have no cluster", where=f"column {column!r}")
    return np.unique(np.asarray(values), return_inverse=True)[1]
