"""``treadle check``: what it says, what it writes, and how it ends."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TOML = """
[project]
name = "toy"
[data.rows]
path = "rows.parquet"
time = "at"
label = "late"
[train]
command = "true"
data = "rows"
features = ["hour"]
[checks.data]
min_rows = 10
ranges = {{ hour = [0, {top}] }}
min_class_share = {share}
"""


@pytest.fixture
def check(here, call):
    """A project, and a call of the command in it."""
    at = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(240)]
    rows = {"hour": list(range(24)) * 10, "late": [i % 4 == 0 for i in range(240)], "at": at}
    pq.write_table(pa.table(rows), here / "rows.parquet")

    def _check(*arguments, top=23, share=0.1):
        (here / "treadle.toml").write_text(TOML.format(top=top, share=share))
        return call("check", *arguments)

    return _check


@pytest.mark.parametrize(
    ("declared", "code", "says"),
    [
        ({}, 0, "checks passed"),
        ({"top": 20}, 1, "hour: 30 of 240 values lie outside [0, 20]"),
        ({"share": 0.25}, 3, "can't tell"),
    ],
)
def test_the_code_tells_a_script_how_it_went(check, declared, code, says):
    found = check(**declared)
    assert (found.code, says in found.out) == (code, True)
    again = check(**declared)
    assert again.code == code
    assert "as judged on" in again.out


def test_reports_are_written_in_the_format_of_their_names(check, here):
    names = ("out.html", "out.md", "out.xml", "out.json")
    found = check(*(word for name in names for word in ("--report", name)), top=20)
    assert found.code == 1
    assert "wrote out.html, out.md, out.xml, out.json" in found.out
    assert (here / "out.html").read_text().startswith("<!doctype html>")
    assert (here / "out.md").read_text().startswith("# ✗ Checks: fail")
    assert ET.parse(here / "out.xml").getroot().get("failures") == "1"
    [told] = json.loads((here / "out.json").read_text())
    assert told["outcome"] == "fail"


def test_a_report_that_cant_be_written_is_refused_before_anything_is_judged(check):
    for name, says in (("out.pdf", "doesn't say what to write"), ("no/out.md", "no such folder")):
        found = check("--report", name)
        assert found.code != 0
        assert says in found.err
    assert "nothing was judged" in check("list").out


def test_explain_judges_nothing(check):
    found = check("--explain")
    assert found.code == 0
    assert "240 rows" in found.out
    assert "nothing was judged" in check("list").out


def test_what_was_judged_can_be_listed_and_shown(check):
    check(top=20)
    listed = json.loads(check("list", "--json").out)
    assert [one["subject"] for one in listed] == ["rows"]
    shown = check("show", listed[0]["id"])
    assert "✗ ranges: hour: 30 of 240" in shown.out
    assert "✓ min_rows" in shown.out


def test_checks_are_suggested_and_the_rows_pass_them(check, here):
    found = check("suggest", "rows.parquet")
    assert found.code == 0
    assert "\n[checks.data]\n" in found.out
    head = TOML.partition("[checks.data]")[0]
    (here / "treadle.toml").write_text(head + found.out)
    assert call_again(check) == 0


def call_again(check):
    """The exit code of a check by what stands in the file, which ``check`` would write anew."""
    from treadle.cli.main import run

    return run(["check", "--only", "data"])


def test_a_suite_of_another_tool_becomes_lines_and_what_it_cant_say_is_listed(check, here):
    (here / "gx.json").write_text(
        json.dumps(
            {
                "expectations": [
                    {
                        "expectation_type": "expect_column_values_to_be_in_set",
                        "kwargs": {"column": "a", "value_set": ["x"]},
                    },
                    {"expectation_type": "expect_the_moon", "kwargs": {"column": "a"}},
                ]
            }
        )
    )
    found = check("import", "gx.json")
    assert found.code == 0
    assert found.out == (
        '[checks.data]\n\n[checks.data.values]\na = ["x"]\n'
        "# not said: expect_the_moon (a): there is no such check\n"
    )
    (here / "no.yaml").write_text("a: [")
    assert check("import", "no.yaml").code != 0


def test_a_file_in_a_verbs_place_is_taken_for_data(check):
    refused = check("rows.parquet")
    assert refused.code == 2
    assert "treadle check --data rows.parquet" in refused.err


def test_labels_that_a_metric_cant_take_are_told_with_their_file(here, call):
    (here / "treadle.toml").write_text(
        '[project]\nname = "toy"\n[checks.performance]\nmetric = "roc_auc"\nbound = 0.7\n'
        '[checks.predictions]\npath = "predictions.csv"\nlabel = "late"\ncandidate = ["score"]\n'
    )
    rows = "".join(f"{i % 2},0.{i % 10}\n" for i in range(50))
    (here / "predictions.csv").write_text(f"late,score\n{rows}3,0.5\n")
    refused = call("check")
    assert refused.code == 2
    assert "1 of 51 are not, as 3" in refused.err
    assert str(here / "predictions.csv") in refused.err
