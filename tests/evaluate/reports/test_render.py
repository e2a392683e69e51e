"""Reports: read back by what reads them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import pytest

from treadle.evaluate import Basis, Evaluation, Verdict, render
from treadle.kernel.errors import InvalidInput

AWKWARD = "a<b>&\"'|`*\x00\x0b\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")


def evaluation(**changes):
    verdicts = (
        Verdict(check="nulls", subject="a", outcome="pass", sentence="a: none are missing.", n=10),
        Verdict(
            check="no_worse",
            subject=AWKWARD,
            outcome="fail",
            sentence=f"{AWKWARD} is worse.",
            hypothesis="no worse",
            estimate=-0.05,
            low=-0.09,
            high=-0.02,
            bound=-0.01,
            p_value=0.0004,
            adjusted=0.004,
            test="paired t",
            n=1000,
        ),
        Verdict(check="no_worse", subject="b", outcome="inconclusive", sentence="?", n=9, n_needed=90),
        Verdict(check="drift", subject="c", outcome="warn", sentence="c moved a little."),
        Verdict(check="slices", subject="d", outcome="fail", sentence="d is weak.", exploratory=True),
    )
    given = {
        "id": "eval_1",
        "kind": "model",
        "at": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "outcome": "fail",
        "verdicts": verdicts,
        "subject": "toy/2",
        "baseline": "toy/1",
        "data": "ab" * 32,
        "basis": Basis(seed=7, resamples=10_000),
    }
    return Evaluation(**{**given, **changes})


def test_junit_counts_failures_and_never_shows_doubt_as_green():
    body, media = render([evaluation(), evaluation(id="eval_2", verdicts=(), outcome="pass")], "junit")
    assert media == "application/xml"
    root = ET.fromstring(body)
    assert root.attrib == {"name": "treadle check", "tests": "4", "failures": "1", "errors": "1"}
    first, second = root
    assert (first.get("name"), first.get("tests")) == ("Performance of toy/2 beside toy/1", "4")
    assert second.findall("testcase") == []
    cases = {case.get("name"): case for case in first.findall("testcase")}
    assert len(cases) == 4
    assert cases["nulls: a"].find("*") is None
    failed = next(case for case in cases.values() if case.find("failure") is not None)
    assert "p, adjusted: 0.004" in failed.find("failure").text
    assert cases["no_worse: b"].find("error").get("type") == "inconclusive"
    assert "warning" in cases["drift: c"].find("system-out").text
    assert "slices: d" not in cases
    said = {one.get("name"): one.get("value") for one in first.find("properties")}
    assert (said["data"], said["seed"]) == ("ab" * 6, "7")


def test_markdown_tells_the_worst_first_and_lets_no_name_become_markup():
    text = render([evaluation()], "markdown")[0].decode()
    assert text.startswith("# ✗ Checks: fail\n")
    assert "1 fail, 1 inconclusive, 1 warn, 1 pass." in text
    rows = [line for line in text.splitlines() if line.startswith("| ") and "what was found" not in line]
    assert [row[2] for row in rows] == ["✗", "?", "!", "✓", "✗"]
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert "<b>" not in text
    assert "1 proposed by a search" in text


class _Words(HTMLParser):
    def __init__(self):
        super().__init__()
        self.words, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_shows_every_verdict_with_its_evidence_and_loads_nothing():
    page = render([evaluation()], "html")[0].decode()
    read = _Words()
    read.feed(page)
    said = " ".join(read.words)
    for words in ("c moved a little.", "paired t", "90 rows", "fail (exploratory)", "10,000"):
        assert words in said
    assert page.count("<svg") == 1
    assert "<b>&" not in page
    assert not re.search(r"(src|href)=", page)
    assert "script" not in read.tags


def test_json_is_the_evaluations_themselves():
    body, _ = render([evaluation()], "json")
    assert msgspec.json.decode(body, type=list[Evaluation]) == [evaluation()]


def test_other_formats_are_refused():
    with pytest.raises(InvalidInput, match="no report in 'pdf'"):
        render([evaluation()], "pdf")
