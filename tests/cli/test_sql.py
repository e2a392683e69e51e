from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cli_parts import Call, Wire

from treadle.experiment import SqlColumn, SqlEnd, SqlPiece, SqlQuery, SqlTable

TABLE = SqlTable("runs", "a run", (SqlColumn("id", "VARCHAR", "its identifier"),))
COLUMNS = [SqlColumn("name", "VARCHAR"), SqlColumn("value", "DOUBLE"), SqlColumn("value", "TIMESTAMP")]
ROWS = [['a "b", c', 0.1, "2026-01-01T00:00:00"], ["=1", "NaN", None]]


def lines(*, more: bool = False) -> bytes:
    pieces = [SqlPiece(columns=COLUMNS), SqlPiece(rows=ROWS), SqlPiece(end=SqlEnd(2, more, 0.1, {"runs": 2}))]
    return b"".join(msgspec.json.encode(piece) + b"\n" for piece in pieces)


@pytest.fixture(autouse=True)
def _answers(wire: Wire) -> None:
    wire.answers.update({"GET /v1/sql/tables": [TABLE], "POST /v1/sql": lines()})


def test_a_table(call: Call, wire: Wire) -> None:
    out = call("sql", "SELECT 1").out
    assert out.splitlines()[0].split() == ["name", "value", "value_1"]
    assert "nan" in out
    assert msgspec.json.decode(wire.asked[-1].body, type=SqlQuery) == SqlQuery("SELECT 1", 1000)


def test_csv_and_json_are_exact(call: Call, wire: Wire) -> None:
    assert (
        call("sql", "SELECT 1", "--csv").out
        == 'name,value,value_1\r\n"a ""b"", c",0.1,2026-01-01T00:00:00\r\n=1,nan,\r\n'
    )
    assert msgspec.json.decode(wire.asked[-1].body, type=SqlQuery).limit == 1_000_000
    assert call("sql", "SELECT 1", "--json").json() == [
        {"name": 'a "b", c', "value": 0.1, "value_1": "2026-01-01T00:00:00"},
        {"name": "=1", "value": None, "value_1": None},
    ]


def test_what_was_cut_is_said(call: Call, wire: Wire) -> None:
    wire.answers["POST /v1/sql"] = lines(more=True)
    assert "more rows than these 2" in call("sql", "SELECT 1", "--limit", "2").out
    found = call("sql", "SELECT 1", "--csv")
    assert "more rows" in found.err
    assert "more rows" not in found.out


def test_the_schema(call: Call) -> None:
    assert "its identifier" in call("sql", "--schema").out
    assert call("sql", "--schema", "--json").json(list[SqlTable]) == [TABLE]


def test_a_file(call: Call, wire: Wire, tmp_path: Path) -> None:
    wire.answers["POST /v1/sql"] = b"PAR1"
    out = tmp_path / "a.parquet"
    assert "wrote" in call("sql", "SELECT 1", "--parquet", str(out)).out
    assert out.read_bytes() == b"PAR1"
    assert msgspec.json.decode(wire.asked[-1].body, type=SqlQuery).format == "parquet"


def test_no_query_and_an_answer_that_breaks_off(call: Call, wire: Wire) -> None:
    assert "--schema" in call("sql").err
    wire.answers["POST /v1/sql"] = b"\n".join(lines().split(b"\n")[:2])
    assert "broke off" in call("sql", "SELECT 1").err
    assert call("sql", "SELECT 1", "--json").code == 2
