from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cli_parts import plain
from cli_samples import NOON, RUNS, evaluation, verdict
from rich.cells import cell_len

from treadle.cli import show


def test_dates_are_iso_and_in_utc() -> None:
    assert show.when(datetime(2013, 7, 1, 14, tzinfo=timezone(timedelta(hours=2)))) == "2013-07-01 12:00"
    assert show.when(None) == "-"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.71234567, "0.7123"),
        (0.0, "0"),
        (1.0, "1"),
        (1234.5678, "1235"),
        (336_776.0, "336,776"),
        (9_999.49, "9999"),
        (9_999.5, "10,000"),
        (0.000012345, "1.234e-05"),
        (-0.5, "-0.5"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (None, "-"),
    ],
)
def test_figures_have_four_significant_digits(value: float | None, text: str) -> None:
    assert show.number(value) == text


def test_compute_is_in_cpu_seconds() -> None:
    assert show.cpu(4.25) == "4.2 CPU-seconds"
    assert show.cpu(41.6) == "42 CPU-seconds"
    assert show.cpu(3480) == "3,480 CPU-seconds (58m)"
    assert show.cpu(None) == "-"


def test_counts() -> None:
    assert show.counted(1, "row") == "1 row"
    assert show.counted(336_776, "row") == "336,776 rows"
    assert show.counted(0, "query", "queries") == "0 queries"


def test_time_taken_never_runs_backwards() -> None:
    assert show.took(NOON, NOON + timedelta(seconds=200)) == "3m 20s"
    assert show.took(NOON, NOON - timedelta(seconds=5)) == "0.0s"
    assert show.took(None) == ""
    assert show.took(datetime.now(UTC) - timedelta(minutes=2)) in ("2m", "2m 1s", "2m 2s")


def test_a_curve_goes_from_its_lowest_to_its_highest() -> None:
    assert show.spark([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert show.spark([5.0, 5.0]) == "▁▁"
    assert show.spark([]) == ""
    assert show.spark([math.nan, 1.0, math.inf, 2.0]) == "▁█"


def test_a_long_curve_is_averaged_into_its_width() -> None:
    drawn = show.spark([float(i) for i in range(100_000)], width=8)
    assert drawn == "▁▂▃▄▅▆▇█"
    noisy = show.spark([i / 1000 + (-1) ** i * 10 for i in range(10_000)], width=8)
    assert noisy == "▁▂▃▄▅▆▇█"


def test_names_give_a_terminal_no_orders(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[2Jb\x9bc\rd[red]e[/red]:smile:"
    show.say(evil)
    show.table(["name"], [[evil]])
    show.facts([(evil, evil)])
    show.item("fail", evil)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x9b" not in out
    assert "\r" not in out
    assert out.count("a[2Jbcd[red]e[/red]:smile:") == 5


@pytest.mark.usefixtures("terminal")
def test_identifiers_are_cut_to_what_tells_them_apart() -> None:
    assert show.short(list(RUNS)) == ["run_01jzq3k4m5", "run_01jzq3k4m6"]
    assert show.short(["run_01jzq3k4m5x", "run_01jzq3k4m5y"]) == ["run_01jzq3k4m5x", "run_01jzq3k4m5y"]
    assert show.short(["a", "a"]) == ["a", "a"]
    assert show.short([]) == []


def test_identifiers_are_whole_without_a_terminal() -> None:
    assert show.short(list(RUNS)) == list(RUNS)


@pytest.mark.usefixtures("terminal")
def test_a_table_stays_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(["!id", "text", ">n"], [(RUNS[0], "words and " * 30, 1.5)])
    show.facts([("name", "words and " * 30)])
    show.item("fail", "words and " * 30)
    out = plain(capsys.readouterr().out)
    assert max(cell_len(line.rstrip()) for line in out.splitlines()) <= 80
    assert RUNS[0] in out


def test_without_a_terminal_nothing_is_cut_or_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(["!id", "text"], [(RUNS[0], "x" * 500)])
    show.say("word " * 100)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].split() == [RUNS[0], "x" * 500]


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show.table(["a"], [], empty="no runs yet")
    assert capsys.readouterr().out == "no runs yet\n"


def test_verdicts_are_sentences_and_passes_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluation(
        "fail",
        verdict("pass", "fine"),
        verdict("inconclusive", "can't tell for HA; about 8,000 would", n_needed=8_000),
        verdict("fail", "worse for JFK"),
        verdict("pass", "fine too"),
    )
    show.verdicts([found, evaluation("pass")])
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "✗ worse for JFK",
        "? can't tell for HA; about 8,000 would",
        "✓ 3 checks passed",
    ]
