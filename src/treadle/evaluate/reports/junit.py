"""Evaluations as JUnit XML, as CI systems read it (the schema of Jenkins' xUnit plugin).

It knows no third outcome: what can't be told is an error of the type ``inconclusive``, so that
it never reads as green.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from treadle.evaluate.reports.ordering import evidence, facts, title
from treadle.evaluate.types import Evaluation, Verdict

# What XML 1.0 has no way to write.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(evaluations: Sequence[Evaluation]) -> str:
    """One suite an evaluation, one case a verdict; exploratory verdicts are left out."""
    root = ET.Element("testsuites", name="treadle check")
    for evaluation in evaluations:
        _suite(root, evaluation)
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, evaluation: Evaluation) -> None:
    declared = [one for one in evaluation.verdicts if not one.exploratory]
    outcomes = [one.outcome for one in declared]
    suite = ET.SubElement(
        root,
        "testsuite",
        name=_clean(title(evaluation)),
        timestamp=f"{evaluation.at:%Y-%m-%dT%H:%M:%S}",
        tests=str(len(declared)),
        failures=str(outcomes.count("fail")),
        errors=str(outcomes.count("inconclusive")),
        skipped="0",
        time="0",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in facts(evaluation):
        ET.SubElement(properties, "property", name=name, value=_clean(value))
    for verdict in declared:
        _case(suite, evaluation.kind, verdict)


def _case(suite: ET.Element, kind: str, verdict: Verdict) -> None:
    name = f"{verdict.check}: {verdict.subject}"
    case = ET.SubElement(suite, "testcase", classname=f"treadle.{kind}", name=_clean(name), time="0")
    said = "\n".join(f"{name}: {value}" for name, value in evidence(verdict))
    if verdict.outcome in {"fail", "inconclusive"}:
        tag = "failure" if verdict.outcome == "fail" else "error"
        found = ET.SubElement(case, tag, type=verdict.outcome, message=_clean(verdict.sentence))
        found.text = _clean(said)
    elif verdict.outcome == "warn":
        ET.SubElement(case, "system-out").text = _clean(f"warning: {verdict.sentence}\n{said}")


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
