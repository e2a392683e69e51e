"""What identifies a recipe, which files are code, and how a job's end reads."""

from __future__ import annotations

import msgspec
import pytest

from treadle.kernel.errors import JobFailed, JobTimedOut
from treadle.train import CodeFile, CodeVersion, JobResult, Recipe, rules


@pytest.fixture
def recipe(rows) -> Recipe:
    return Recipe(
        code="c" * 64,
        command="python train.py",
        data=(rows,),
        features=("hour", "carrier"),
        label="late",
        params={"depth": 3, "rate": 0.1},
        seed=0,
        environment="f" * 64,
        resources="local-cpu2",
    )


def test_every_part_of_a_recipe_is_part_of_its_identity(recipe, rows):
    changes = {
        "code": "d" * 64,
        "command": "python other.py",
        "data": (msgspec.structs.replace(rows, digest="0" * 64),),
        "features": ("carrier", "hour"),
        "label": "later",
        "params": {"depth": 4, "rate": 0.1},
        "seed": 1,
        "environment": "0" * 64,
        "resources": "local-cpu4",
    }
    assert set(changes) == set(Recipe.__struct_fields__)
    identities = {rules.recipe_id(msgspec.structs.replace(recipe, **{k: v})) for k, v in changes.items()}
    assert len(identities | {rules.recipe_id(recipe)}) == len(changes) + 1


def test_identity_does_not_depend_on_order_or_on_names_for_people(recipe, rows):
    same = msgspec.structs.replace(
        recipe, params={"rate": 0.1, "depth": 3}, data=(msgspec.structs.replace(rows, number=7, rows=0),)
    )
    assert rules.recipe_id(same) == rules.recipe_id(recipe)
    assert rules.recipe_id(recipe).startswith("r_")
    assert msgspec.json.decode(msgspec.json.encode(recipe), type=Recipe) == recipe


def test_code_is_the_same_whether_it_is_committed_or_not():
    files = (CodeFile("b.py", "1"), CodeFile("a.py", "2"))
    manifest = rules.code_manifest(CodeVersion(files))
    assert manifest == rules.code_manifest(CodeVersion(files[::-1], "abc", dirty=True))
    assert manifest != rules.code_manifest(CodeVersion((files[0], CodeFile("a.py", "2", executable=True))))


@pytest.mark.parametrize(
    ("path", "patterns", "fits"),
    [
        ("train.py", ["**/*.py"], True),
        ("a/b/c.py", ["**/*.py"], True),
        ("a/b/c.txt", ["**/*.py"], False),
        ("a/b.py", ["*.py"], False),
        ("a/b.py", ["a/*"], True),
        ("a/b/c.py", ["a/**"], True),
        ("a/b/c.py", ["./a/**/c.py"], True),
        ("a/c.py", ["a/**/c.py"], True),
        ("b/c.py", ["a/**/c.py"], False),
        ("conf/x.yaml", ["**/*.py", "conf/*.yaml"], True),
        ("A.PY", ["*.py"], False),
        ("a", [], False),
    ],
)
def test_globs(path, patterns, fits):
    assert rules.is_code(path.split("/"), patterns) is fits


def end(outcome: str, code: int = 0) -> JobResult:
    return JobResult(outcome=outcome, exit_code=code, wall_seconds=1, cpu_seconds=1, peak_bytes=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "says", "kind"),
    [
        (end("crashed", 3), "exit code 3", JobFailed),
        (end("crashed", -11), "killed by SIGSEGV", JobFailed),
        (end("crashed", -9), "memory", JobFailed),
        (end("crashed", -77), "killed by signal 77", JobFailed),
        (end("crashed", 127), "can't be run", JobFailed),
        (end("timed_out", -9), "longer than 1m 30s", JobTimedOut),
        (end("cancelled", -15), "cancelled", JobFailed),
        (end("lost", -9), "supervisor", JobFailed),
    ],
)
def test_every_bad_end_is_an_error_that_says_what_to_do(result, says, kind):
    log = "\n".join(f"line {i}" for i in range(40))
    error = rules.failure(result, "python train.py", 90, log, "/x/log.txt")
    assert type(error) is kind
    assert says in str(error)
    assert error.where == "/x/log.txt"
    assert error.fix


def test_the_last_words_are_short():
    log = "\n".join(f"line {i}" for i in range(40)) + "\n" + "x" * 1000 + "\n\n"
    error = rules.failure(end("crashed", 1), "c", 1, log, "w")
    assert error is not None
    assert "line 26" in error.message
    assert "line 25" not in error.message
    assert "x" * 301 not in error.message
    assert "printed nothing" in str(rules.failure(end("crashed", 1), "c", 1, " \n", "w"))
    assert rules.failure(end("finished"), "c", 1, log, "w") is None
