from __future__ import annotations

import statistics
import subprocess
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from treadle.experiment import Comparisons, Experiments, JournalBatch, LogArtifact, LogMetrics, NewRun
from treadle.kernel.errors import InvalidInput, NotFound
from treadle.kernel.workspace import Workspace

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def runs(workspace: Workspace) -> Experiments:
    return Experiments(workspace)


@pytest.fixture
def comparisons(workspace: Workspace) -> Comparisons:
    return Comparisons(workspace)


def start(runs: Experiments, number: int, *records, **given) -> None:
    fields = {"name": f"try <{number}>", "started_at": AT + timedelta(minutes=number)} | given
    runs.create(NewRun(id=f"run_{number}", **fields))
    if records:
        runs.apply(f"run_{number}", JournalBatch(0, list(records)))


def kept(workspace: Workspace, path: str, text: str) -> LogArtifact:
    return LogArtifact(path, len(text), workspace.blobs.put(text.encode()))


def test_comparing_kept_runs(runs, comparisons, workspace):
    values = [0.71, 0.73, 0.72]
    for number, value in enumerate(values):
        records = [
            LogMetrics(1.0, {"auc": value}),
            kept(workspace, "provenance/requirements.txt", f"numpy==2.{number}"),
        ]
        start(runs, number, *records, recipe="r", replica=number, seed=number, params={"depth": 3})
    start(runs, 9, params={"depth": 5})
    found = comparisons.compare(["run_9", "run_0", "run_1", "run_2"])
    assert [run.id for run in found.runs] == ["run_9", "run_0", "run_1", "run_2"]
    assert found.params == {"depth": [5, 3, 3, 3]}
    assert found.metrics == {"auc": [None, *values]}
    assert found.noise["auc"] == pytest.approx(statistics.stdev(values))
    assert found.packages == {"numpy": [None, "2.0", "2.1", "2.2"]}
    assert [one.path for one in found.files] == ["provenance/requirements.txt"]


@pytest.mark.parametrize("ids", [[], ["run_0"] * 101])
def test_nothing_and_too_much_are_refused(ids, runs, comparisons):
    start(runs, 0)
    with pytest.raises(InvalidInput, match=r"nothing to compare|too many"):
        comparisons.compare(ids)


def test_curves_of_runs_of_which_one_has_none(runs, comparisons):
    start(runs, 0, *(LogMetrics(1.0, {"loss": 1 / (step + 1)}, step) for step in range(30)))
    start(runs, 1)
    (only,) = comparisons.curves(["run_0", "run_1"], "loss", most=10).curves
    assert (only.run, only.x[0], only.x[-1]) == ("run_0", 0, 29)
    with pytest.raises(NotFound, match="did you mean 'loss'"):
        comparisons.curves(["run_0"], "los")
    with pytest.raises(InvalidInput, match="points"):
        comparisons.curves(["run_0"], "loss", most=1)


# ── code ─────────────────────────────────────────────────────────────────


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", root, *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(root: Path, text: str) -> str:
    (root / "train.py").write_text(text)
    git(root, "add", "train.py")
    git(root, "commit", "-qm", "x")
    return git(root, "rev-parse", "HEAD")


def test_code_differs_by_commits_and_by_what_was_not_committed(runs, comparisons, workspace, project):
    git(project, "init", "-q")
    first, second = commit(project, "rate = 1\n"), commit(project, "rate = 2\n")
    patch = kept(workspace, "provenance/changes.patch", "-rate = 2\n+rate = 3\n")
    start(runs, 0, tags={"commit": first, "dirty": "false"})
    start(runs, 1, patch, tags={"commit": second, "dirty": "true"})
    start(runs, 2, tags={"mlflow.source.git.commit": second})
    start(runs, 3, tags={"commit": second, "dirty": "true"})
    found = comparisons.code("run_0", "run_1")
    assert (found.same, found.commits, found.note) == (False, (first, second), None)
    assert "-rate = 1\n+rate = 2" in found.diff
    assert found.patches == (None, "-rate = 2\n+rate = 3\n")
    assert comparisons.code("run_1", "run_2").same is False
    assert comparisons.code("run_2", "run_2").same is True
    lost = comparisons.code("run_2", "run_3")
    assert (lost.same, lost.note) == (None, "what try <3> changed without committing it was not kept")


@pytest.mark.parametrize("bad", ["--output=/tmp/x", "HEAD", "0" * 40, "", "main..other"])
def test_a_commit_that_is_none_is_said_to_be_unknown(bad, runs, comparisons, project):
    git(project, "init", "-q")
    good = commit(project, "a\n")
    start(runs, 0, tags={"commit": good})
    start(runs, 1, tags={"commit": bad})
    found = comparisons.code("run_0", "run_1")
    assert found.diff == ""
    assert "not known" in found.note or "not both in the repository" in found.note


def test_without_a_repository_nothing_breaks(runs, comparisons):
    start(runs, 0, tags={"commit": "a" * 40})
    start(runs, 1, tags={"commit": "b" * 40})
    assert (comparisons.code("run_0", "run_1").same, comparisons.code("run_0", "run_1").diff) == (
        False,
        "",
    )


# ── the page ─────────────────────────────────────────────────────────────


class Page(HTMLParser):
    """Which tags a page has, whether they are balanced, and what it would load."""

    VOID = frozenset({"meta", "line", "circle", "rect", "polyline", "br", "link", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.loads += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_data(self, data):
        self.text += data


def test_the_page_of_some_runs(runs, comparisons, workspace, project):
    git(project, "init", "-q")
    first, second = commit(project, "a = '<b>'\n"), commit(project, "a = '<i>'\n")
    for number, made in enumerate((first, second)):
        records = [
            LogMetrics(1.0, {"loss": number + 1 / (step + 1), "odd": float("nan")}, step) for step in range(9)
        ]
        start(runs, number, *records, params={"<x>": number}, tags={"commit": made})
    text = comparisons.page(["run_0", "run_1"], metric="loss")
    page = Page(text)
    assert page.open == []
    assert page.loads == []
    assert "<b>" not in text
    assert "try <0>" in page.text
    assert "+a = '<i>'" in page.text
    assert "No run has a finite value of odd." in page.text
    assert "prefers-color-scheme: dark" in text
    assert page.seen.count("svg") == 2  # parallel coordinates, and loss; odd has nothing to draw


def test_the_page_of_a_search(runs, comparisons):
    for number in range(40):
        records = [LogMetrics(1.0, {"auc": 0.5 + number / 100})]
        start(
            runs,
            number,
            *records,
            params={"depth": number, "kind": "ab"[number % 2], "gap": 1} | ({"odd": 2} if number % 3 else {}),
        )
    page = Page(comparisons.page([], metric="auc", where="metrics.auc > 0.51"))
    assert page.open == []
    assert "auc over 38 runs" in page.text
    assert "depth matters most" in page.text
    assert page.seen.count("polyline") == 38
    assert "run_39" in page.text
    with pytest.raises(NotFound, match="no run fits"):
        comparisons.page([], metric="auc", where="metrics.auc > 7")
    with pytest.raises(InvalidInput, match="nothing to compare"):
        comparisons.page([])
    with pytest.raises(NotFound, match="metric"):
        comparisons.page(["run_1"], metric="acu")
