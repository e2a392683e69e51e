# ruff: noqa: E501 - conditions and what they come to stand best on one line
"""What every engine that scans must do: the same answers to the same asks, whatever reads the rows.

An engine's test file makes a class of it::

    class TestMine(ScanContract):
        @pytest.fixture
        def engine(self): return MyScan()
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from treadle.kernel.errors import CorruptData, NotFound
from treadle.kernel.scan.asks import (
    Binned,
    CountBins,
    CountCells,
    CountDays,
    CountMissing,
    CountRows,
    CountValues,
    CountWhere,
    EstimateDistinct,
    FindExtent,
    FindMoments,
    FindRepeats,
    FindTop,
    SampleRows,
)  # fmt: skip
from treadle.kernel.scan.expressions import check
from treadle.kernel.scan.reading import read

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 2000


def table(rows: int = ROWS, precision: str = "ns") -> pa.Table:
    """Columns of every kind, each with values that are missing or extreme."""
    rng = np.random.default_rng(7)
    floats = rng.normal(10, 3, rows)
    floats[:5] = [math.nan, math.inf, -math.inf, 0.1, -0.0][:rows]

    def holes(values: list[Any], every: int) -> list[Any]:
        return [None if i % every == every - 1 else value for i, value in enumerate(values)]

    return pa.table({
        "id": pa.array(range(rows), pa.int64()),
        "small": pa.array(holes([i % 7 - 3 for i in range(rows)], 50), pa.int8()),
        "big": pa.array([2**63 + i // 2 for i in range(rows)], pa.uint64()),
        "x": pa.array(holes(floats.tolist(), 40), pa.float64()),
        "single": pa.array(floats.tolist(), pa.float32()),
        "price": pa.array(holes([Decimal(i) / 4 for i in range(rows)], 30), pa.decimal128(12, 2)),
        "whole": pa.array([Decimal(10**20 + i) for i in range(rows)], pa.decimal128(24, 0)),
        "flag": pa.array(holes([i % 3 == 0 for i in range(rows)], 25), pa.bool_()),
        "name": pa.array(holes([f"n{i % 11:02d}" for i in range(rows)], 60), pa.string()),
        "mail": pa.array([f"u{i}@exa-mple.org" if i % 97 else "no mail\n" for i in range(rows)], pa.string()),
        "cat": pa.array([["é", "b'c", 'd"e'][i % 3] for i in range(rows)]).dictionary_encode(),
        "day": pa.array(holes([date(2026, 1, 1) + timedelta(days=i // 100) for i in range(rows)], 70), pa.date32()),
        "at": pa.array(holes([START + timedelta(hours=i) for i in range(rows)], 80), pa.timestamp("us", "UTC")),
        "tokyo": pa.array([START + timedelta(hours=i) for i in range(rows)], pa.timestamp(precision, "Asia/Tokyo")),
        "naive": pa.array([datetime(2026, 1, 1) + timedelta(minutes=i) for i in range(rows)], pa.timestamp("ms")),  # noqa: DTZ001
        "empty": pa.array([None] * rows, pa.float64()),
    })  # fmt: skip


TYPES = {
    "id": ("integer", "int64"),
    "small": ("integer", "int8"),
    "big": ("integer", "uint64"),
    "x": ("number", "float64"),
    "single": ("number", "float32"),
    "price": ("number", "decimal(12, 2)"),
    "whole": ("integer", "decimal(24, 0)"),
    "flag": ("boolean", "boolean"),
    "name": ("text", "text"),
    "mail": ("text", "text"),
    "cat": ("text", "text"),
    "day": ("date", "date"),
    "at": ("timestamp", "timestamptz"),
    "tokyo": ("timestamp", "timestamptz"),
    "naive": ("timestamp", "timestamp"),
    "empty": ("number", "float64"),
}


def plain(value: Any) -> Any:
    """A value as answers have it."""
    value = value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    if isinstance(value, Decimal):
        return int(value) if value > 10**20 - 1 else float(value)
    return value


def known(values: list[Any]) -> list[Any]:
    return [v for v in values if v is not None and not (isinstance(v, float) and math.isnan(v))]


# Each condition, and what it comes to for a row: True, False, or None where it can't be told.
CONDITIONS: list[tuple[str, Any]] = [
    ("id < 100", lambda r: r["id"] < 100),
    ("id >= 0.5", lambda r: r["id"] >= 0.5),
    ("big > 9223372036854775900", lambda r: r["big"] > 9223372036854775900),
    ("whole = 100000000000000000007", lambda r: r["id"] == 7),
    ("small <> 300", lambda r: None if r["small"] is None else True),
    ("x > 10", lambda r: None if r["x"] is None else r["x"] > 10),
    ("single <= 0.1", lambda r: None if r["single"] is None else r["single"] <= 0.1),
    ("price * 2 = id / 2", lambda r: None if r["price"] is None else True),
    ("price / small > 0", lambda r: None if not r["small"] or r["price"] is None else r["price"] / r["small"] > 0),
    ("small % 2 = -1", lambda r: None if r["small"] is None else math.fmod(r["small"], 2) == -1),
    ("flag", lambda r: r["flag"]),
    ("NOT flag", lambda r: None if r["flag"] is None else not r["flag"]),
    ("flag = FALSE or id > 1000", lambda r: True if r["id"] > 1000 or r["flag"] is False else r["flag"] and False),
    ("flag and id > 1000", lambda r: False if r["id"] <= 1000 else r["flag"]),
    ("name is null", lambda r: r["name"] is None),
    ("x is not null", lambda r: r["x"] is not None),
    ("x - x = 0", lambda r: None if r["x"] is None or math.isinf(r["x"]) else True),
    ("name in ('n01', 'n02')", lambda r: None if r["name"] is None else r["name"] in {"n01", "n02"}),
    ("small not in (1, 2.5)", lambda r: None if r["small"] is None else r["small"] != 1),
    ("cat = 'b''c'", lambda r: r["cat"] == "b'c"),
    ('cat = \'d"e\'', lambda r: r["cat"] == 'd"e'),
    ("name between 'n02' and 'n05'", lambda r: None if r["name"] is None else "n02" <= r["name"] <= "n05"),
    ("name like 'n0%'", lambda r: None if r["name"] is None else r["name"].startswith("n0")),
    ("name like '_1_'", lambda r: None if r["name"] is None else r["name"][1] == "1"),
    (r"matches(mail, '[\w.-]+@([\w-]+\.)+\w{2,}')", lambda r: "@" in r["mail"]),
    (r"matches(mail, 'no mail')", lambda r: False),
    (r"matches(mail, 'no mail.')", lambda r: False),
    (r"matches(mail, 'no mail\s')", lambda r: "@" not in r["mail"]),
    (r"matches(mail, 'no mail[^.]')", lambda r: "@" not in r["mail"]),
    (r"matches(mail, 'u\d+@[\v\sex]+a-mple\.org')", lambda r: "@" in r["mail"]),
    ("matches(mail, '(?i)NO MAIL\\n')", lambda r: "@" not in r["mail"]),
    ("day >= date '2026-01-05'", lambda r: None if r["day"] is None else r["day"] >= date(2026, 1, 5)),
    ("at >= date '2026-01-05'", lambda r: None if r["at"] is None else r["at"] >= START + timedelta(days=4)),
    ("tokyo < timestamp '2026-01-01 12:00:00'", lambda r: r["id"] < 12),
    ("naive < timestamp '2026-01-01 03:00:00+03:00'", lambda r: False),
    ("at = tokyo", lambda r: None if r["at"] is None else True),
    ("seconds_between(tokyo, at) = 0", lambda r: None if r["at"] is None else True),
    ("year(at) = 2026 and month(day) = 1", lambda r: None if None in {r["at"], r["day"]} else True),
    ("hour(tokyo) = 5 or day(naive) > 1", lambda r: r["id"] % 24 == 5 or r["id"] >= 1440),
    ("length(cat) = 1", lambda r: r["cat"] == "é"),
    ("upper(cat) = 'É'", lambda r: r["cat"] == "é"),
    ("lower(trim('  N01 ')) = name", lambda r: None if r["name"] is None else r["name"] == "n01"),
    ("starts_with(mail, 'u1') and ends_with(mail, 'org')", lambda r: r["mail"].startswith("u1")),
    ("contains(cat, '''')", lambda r: r["cat"] == "b'c"),
    ("coalesce(name, 'none') = 'none'", lambda r: r["name"] is None),
    ("abs(small) <= 2", lambda r: None if r["small"] is None else abs(r["small"]) <= 2),
    ("floor(price) = ceil(price)", lambda r: None if r["price"] is None else r["price"] == int(r["price"])),
    ("empty > 0", lambda r: None),
    ("-x < 0", lambda r: None if r["x"] is None else r["x"] > 0),
    ("id < 1998", lambda r: r["id"] < 1998),
    ("id >= 0", lambda r: True),
]  # fmt: skip


class ScanContract:
    """The tests.

    Attributes:
        TYPES: The kinds and types of columns that the engine reads as others than most do.
        PRECISION: The finest unit of time that it reads.
    """

    TYPES: ClassVar[dict[str, tuple[str, str]]] = {}
    PRECISION = "ns"

    @pytest.fixture
    def engine(self) -> Any:
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def rows(cls) -> dict[str, list[Any]]:
        return table().to_pydict()

    @pytest.fixture(scope="class")
    @classmethod
    def path(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("scan") / "it's.parquet"
        pq.write_table(table(precision=cls.PRECISION), path, row_group_size=300)
        return path

    def test_columns_have_the_same_names_kinds_and_types(self, engine: Any, path: Path) -> None:
        found = engine.columns(path)
        assert list(found) == table().column_names
        assert {name: (column.kind, column.type) for name, column in found.items()} == TYPES | self.TYPES

    def test_rows_and_missing_values(self, engine: Any, path: Path, rows: dict[str, list[Any]]) -> None:
        found = engine.scan(path, [CountRows(), *map(CountMissing, rows)])
        assert found[CountRows()].rows == ROWS
        for name, values in rows.items():
            missing = found[CountMissing(name)]
            assert missing.nulls == values.count(None), name
            assert missing.count == ROWS - len(known(values)), name
        assert found[CountMissing("x")].nans == 1

    def test_moments(self, engine: Any, path: Path, rows: dict[str, list[Any]]) -> None:
        names = ["id", "small", "big", "x", "single", "price", "flag", "empty"]
        answers = engine.scan(path, map(FindMoments, names))
        for name in names:
            found, values = answers[FindMoments(name)], np.array([float(v) for v in known(rows[name])])
            finite = values[np.isfinite(values)]
            assert (found.count, found.infinite) == (len(finite), len(values) - len(finite)), name
            if len(finite):
                assert found.mean == pytest.approx(finite.mean(), rel=1e-9)
                near = 1e6 if name == "big" else 0
                assert found.variance == pytest.approx(finite.var(ddof=1), rel=1e-6, abs=near), name

    def test_cubes_around_a_value(self, engine: Any, path: Path, rows: dict[str, list[Any]]) -> None:
        asked = [FindMoments(name, 2.5) for name in ("id", "small", "x", "single", "price", "flag", "empty")]
        answers = engine.scan(path, asked)
        for ask in asked:
            values = np.array([float(v) for v in known(rows[ask.column])])
            finite = values[np.isfinite(values)]
            assert answers[ask].cubes == pytest.approx(((finite - 2.5) ** 3).sum(), rel=1e-6), ask.column
            if len(finite):
                plain = ((finite - finite.mean()) ** 3).mean() / finite.std() ** 3
                assert answers[ask].skewness(2.5) == pytest.approx(plain, rel=1e-4, abs=1e-6), ask.column

    def test_extents(self, engine: Any, path: Path, rows: dict[str, list[Any]]) -> None:
        answers = engine.scan(path, map(FindExtent, rows))
        for name, column in rows.items():
            found, values = answers[FindExtent(name)], [plain(v) for v in known(column)]
            assert (found.low, found.high) == (min(values, default=None), max(values, default=None)), name
            assert type(found.low) is (type(values[0]) if values else type(None)), name

    def test_bins(self, engine: Any, path: Path, rows: dict[str, list[Any]]) -> None:
        asked = [
            CountBins("id", (-1.0, 0.0, 99.5, 1000.0, 5000.0)), CountBins("small", (-2.5, 0.0)),
            CountBins("big", (2.0**63 + 2048,)), CountBins("x", (0.1, 5.0, 10.0, 1e9)), CountBins("x", ()),
            CountBins("single", (float(np.float32(0.1)), 10.0)), CountBins("price", (0.25, 100.0)),
            CountBins("flag", (0.5,)), CountBins("empty", (0.0,)),
        ]  # fmt: skip
        answers = engine.scan(path, asked)
        for ask in asked:
            found, values = answers[ask], known(rows[ask.column])
            places = Counter(int(np.searchsorted(ask.edges, float(v), side="left")) for v in values)
            assert found.counts == tuple(places[i] for i in range(len(ask.edges) + 1)), ask
            assert found.missing == ROWS - len(values), ask

    def test_given_values(self, engine: Any, path: Path, rows: dict[str, list[Any]]) -> None:
        asked = [
            CountValues("small", (-3, 0, 99)), CountValues("name", ("n00", "n10", "none")),
            CountValues("cat", ("b'c", 'd"e')), CountValues("flag", (True,)), CountValues("price", (0.25, 1.5)),
            CountValues("day", (date(2026, 1, 2),)), CountValues("x", (0.1, math.inf)),
            CountValues("at", (START + timedelta(hours=3),)),
        ]  # fmt: skip
        answers = engine.scan(path, asked)
        for ask in asked:
            found, there = answers[ask], Counter(map(plain, known(rows[ask.column])))
            assert found.counts == tuple(there[value] for value in ask.values), ask
            assert found.other == sum(there.values()) - sum(found.counts), ask
            assert found.missing == ROWS - sum(there.values()), ask

    def test_top_values(self, engine: Any, path: Path, rows: dict[str, list[Any]]) -> None:
        asked = [FindTop("name", 5), FindTop("name", 50), FindTop("flag", 2), FindTop("empty", 3)]
        found = engine.scan(path, asked)
        there = Counter(known(rows["name"]))
        ranked = sorted(there.items(), key=lambda one: (-one[1], one[0]))
        assert list(found[asked[0]].counts.items()) == ranked[:5]
        assert found[asked[0]].other == sum(count for _, count in ranked[5:])
        assert (list(found[asked[1]].counts.items()), found[asked[1]].other) == (ranked, 0)
        assert found[asked[2]].counts == Counter(known(rows["flag"]))
        assert (found[asked[3]].counts, found[asked[3]].missing) == ({}, ROWS)

    def test_distinct_values_are_estimated(self, engine: Any, path: Path) -> None:
        found = engine.scan(path, [EstimateDistinct("id"), EstimateDistinct("name")])
        assert found[EstimateDistinct("id")].low == pytest.approx(ROWS, rel=0.15)
        assert found[EstimateDistinct("name")].high == pytest.approx(11, abs=1)

    def test_repeats(self, engine: Any, path: Path) -> None:
        asked = [
            FindRepeats(("id",)), FindRepeats(("big",)), FindRepeats(("name", "day")), FindRepeats(("empty",)),
            FindRepeats(("name", "id")), FindRepeats(("at",)),
        ]  # fmt: skip
        found = engine.scan(path, asked)
        assert (found[asked[0]].keys, found[asked[0]].rows, found[asked[0]].example) == (0, 0, None)
        assert (found[asked[1]].keys, found[asked[1]].rows) == (ROWS // 2, ROWS)
        assert found[asked[1]].example == (2**63,)
        pairs = table().select(["name", "day"]).to_pylist()
        there = Counter((one["name"], one["day"]) for one in pairs if None not in one.values())
        repeated = {key: count for key, count in there.items() if count > 1}
        assert (found[asked[2]].keys, found[asked[2]].rows) == (len(repeated), sum(repeated.values()))
        assert found[asked[2]].example == min(repeated)
        assert found[asked[3]].keys == found[asked[4]].keys == found[asked[5]].keys == 0

    def test_cells(self, engine: Any, path: Path, rows: dict[str, list[Any]]) -> None:
        ask = CountCells(("flag", "cat", Binned("x", (5.0, 10.0))))
        found = engine.scan(path, [ask])[ask]
        places = [
            None if v is None or math.isnan(v) else int(np.searchsorted([5.0, 10.0], v)) for v in rows["x"]
        ]
        assert found.counts == Counter(zip(rows["flag"], rows["cat"], places, strict=True))

    def test_days(self, engine: Any, path: Path, rows: dict[str, list[Any]]) -> None:
        asked = [CountDays("day"), CountDays("at"), CountDays("tokyo"), CountDays("naive")]
        found = engine.scan(path, asked)
        assert found[asked[0]].counts == Counter(known(rows["day"]))
        assert list(found[asked[0]].counts) == sorted(found[asked[0]].counts)
        assert found[asked[0]].missing == rows["day"].count(None)
        assert found[asked[1]].counts == Counter(v.date() for v in known(rows["at"]))
        assert found[asked[2]].counts[date(2026, 1, 1)] == 24
        assert found[asked[3]].counts == {date(2026, 1, 1): 1440, date(2026, 1, 2): 560}

    def test_conditions(self, engine: Any, path: Path, rows: dict[str, list[Any]]) -> None:
        columns, told = engine.columns(path), {text: read(text, "here") for text, _ in CONDITIONS}
        for that in told.values():
            check(that, columns, "here")
        found = engine.scan(path, map(CountWhere, told.values()))
        records = [dict(zip(rows, one, strict=True)) for one in zip(*rows.values(), strict=True)]
        for record in records:
            record |= {name: None for name in ("x", "single") if record[name] != record[name]}
        for text, holds in CONDITIONS:
            truth = Counter(map(holds, records))
            got = found[CountWhere(told[text])]
            assert (got.true, got.false, got.unknown) == (truth[True], truth[False], truth[None]), text

    @pytest.mark.parametrize("text", ["id < 1998", "x > 10", "matches(mail, 'no mail')", "id >= 0"])
    def test_examples(self, engine: Any, path: Path, rows: dict[str, list[Any]], text: str) -> None:
        that, holds = read(text, "here"), dict(CONDITIONS)[text]
        shown = engine.examples(path, that, ["id", "x"], 3)
        records = [dict(zip(rows, one, strict=True)) for one in zip(*rows.values(), strict=True)]
        assert len(shown) == min(3, sum(holds(record) is False for record in records))
        assert all(holds(records[number]) is False for number, _ in shown)

    def test_all_at_once_is_the_same_as_each_alone(self, engine: Any, path: Path) -> None:
        asked = [
            CountRows(), CountMissing("x"), FindMoments("x"), FindExtent("x"), CountBins("x", (1.0, 2.0)),
            CountValues("name", ("n01",)), FindTop("name", 3), FindRepeats(("id",)), CountDays("at"),
            CountCells(("flag",)), CountWhere(read("x > 1", "")), CountRows(),
        ]  # fmt: skip
        together = engine.scan(path, asked)
        assert len(list(together)) == len(asked) - 1
        for ask in asked:
            if ask != FindMoments("x"):  # sums of floats depend on the order, which depends on threads
                assert together[ask] == engine.scan(path, [ask])[ask]

    def test_samples(self, engine: Any, path: Path, rows: dict[str, list[Any]]) -> None:
        ask = SampleRows(("id", "x", "name", "flag", "at", "day"), 10_000)
        found = engine.scan(path, [ask])[ask]
        assert (found.rows, found.drawn) == (ROWS, ROWS)
        order = np.argsort(found.columns["id"])  # a heap has none
        got = {name: values[order] for name, values in found.columns.items()}
        assert got["id"].tolist() == list(map(float, rows["id"]))
        assert got["name"].tolist() == rows["name"]
        assert np.isnan(got["x"]).sum() == ROWS - len(known(rows["x"]))
        assert got["at"][1] == START.timestamp() + 3600
        assert got["day"][100] == START.timestamp() + 86400
        few = SampleRows(("id", "x"), 200)
        found = engine.scan(path, [few])[few]
        again = engine.scan(path, [few])[few]
        assert 100 < found.drawn < 350
        assert found.columns["id"].tolist() == again.columns["id"].tolist()
        assert 700 < found.columns["id"].mean() < 1300
        values = dict(zip(map(float, rows["id"]), rows["x"], strict=True))
        for number, x in zip(found.columns["id"], found.columns["x"], strict=True):
            assert values[number] in {x, None} or math.isnan(values[number])

    def test_what_two_tables_share(self, engine: Any, path: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.parquet"
        pq.write_table(table().slice(1900).select(["name", "id", "x", "day"]), other)
        found = engine.shared(path, other, ["id"])
        assert (found.rows, found.example) == (100, (1900,))
        # A missing part is like a missing one, but by missing values alone nothing is known again.
        assert engine.shared(path, other, ["id", "x", "day", "name"]).rows == 100
        assert engine.shared(path, other, ["x"]).rows == 97
        assert engine.shared(other, path, ["id"]).rows == 100
        pq.write_table(pa.table({"id": [-1]}), other)
        assert engine.shared(path, other, ["id"]) == type(found)(0, None)
        for kind in (pa.int16(), pa.float64(), pa.decimal128(9, 2)):  # a number is the same of whatever type
            pq.write_table(pa.table({"id": pa.array([5, 7, None], pa.int16()).cast(kind)}), other)
            assert engine.shared(path, other, ["id"]).rows == 2, kind
            assert engine.shared(other, path, ["id"]).rows == 2, kind

    def test_no_rows(self, engine: Any, tmp_path: Path) -> None:
        path = tmp_path / "none.parquet"
        pq.write_table(table(0, self.PRECISION), path)
        that = CountWhere(read("x > 1", ""))
        asked = [
            CountRows(), CountMissing("x"), FindMoments("x"), FindExtent("x"), CountBins("x", (1.0,)),
            CountValues("name", ("a",)), FindTop("name", 3), FindRepeats(("id",)), CountDays("at"),
            CountCells(("flag",)), that, EstimateDistinct("x"), SampleRows(("x",), 10),
        ]  # fmt: skip
        found = engine.scan(path, asked)
        assert found[CountRows()].rows == found[asked[1]].count == found[asked[2]].count == 0
        assert found[asked[3]].low is None
        assert found[asked[4]].counts == (0, 0)
        assert found[asked[5]].counts == (0,)
        assert found[asked[6]].counts == found[asked[8]].counts == found[asked[9]].counts == {}
        assert found[asked[7]].keys == found[that].true == found[that].false == 0
        assert found[asked[12]].drawn == 0


class FileScanContract(ScanContract):
    """The tests of an engine that reads files by itself."""

    def test_several_files_whose_columns_differ(self, engine: Any, tmp_path: Path) -> None:
        one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
        pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), one)
        pq.write_table(pa.table({"b": ["z"], "c": [1.5]}), two)
        assert list(engine.columns([one, two])) == ["a", "b", "c"]
        found = engine.scan(
            [one, two], [CountRows(), CountMissing("a"), CountMissing("b"), CountMissing("c")]
        )
        assert [found[ask].nulls for ask in list(found)[1:]] == [1, 0, 2]
        assert found[CountRows()].rows == 3

    @pytest.mark.parametrize(
        ("names", "says"),
        [
            (["a", "a"], "two columns are called 'a'"),
            (["Price", "price"], "differ only in case|called 'price'"),
        ],
    )
    def test_names_that_can_not_be_told_apart(
        self, engine: Any, tmp_path: Path, names: list[str], says: str
    ) -> None:
        path = tmp_path / "twice.parquet"
        pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=names), path)
        with pytest.raises(CorruptData, match=says):
            engine.columns(path)

    def test_what_can_not_be_read(self, engine: Any, tmp_path: Path) -> None:
        path = tmp_path / "broken.parquet"
        with pytest.raises(NotFound, match="no such file"):
            engine.columns(path)
        path.write_bytes(b"")
        with pytest.raises(CorruptData, match="empty"):
            engine.scan(path, [CountRows()])
        path.write_bytes(b"PAR1 not at all PAR1")
        with pytest.raises(CorruptData):
            engine.scan(path, [CountRows()])
        pq.write_table(table(20_000, self.PRECISION), path)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 3])
        with pytest.raises(CorruptData):
            engine.scan(path, [FindExtent("x")])
