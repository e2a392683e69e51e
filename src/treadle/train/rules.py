"""What identifies a recipe, which files are code, and what a job's end means."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec

from treadle.data import DataInput
from treadle.experiment import RunInput
from treadle.kernel.errors import JobFailed, JobTimedOut
from treadle.kernel.ids import digest_bytes
from treadle.kernel.units import format_duration
from treadle.train.types import CodeVersion, JobResult, Recipe

_CANNOT_RUN = 127


def recipe_id(recipe: Recipe) -> str:
    """``r_`` and the BLAKE3 of the recipe as canonical JSON, the data by its digests.

    A digest says which rows; by which number people know the version, and how many rows
    it has, adds nothing.
    """
    canonical = msgspec.structs.asdict(recipe) | {"data": [rows.digest for rows in recipe.data]}
    return f"r_{digest_bytes(msgspec.json.encode(canonical, order='sorted'))}"


def code_manifest(code: CodeVersion) -> bytes:
    """The files of a code version as canonical JSON: what identifies it.

    Where it was committed stays out, so that a commit of the same files is the same code.
    """
    return msgspec.json.encode(CodeVersion(tuple(sorted(code.files))), order="sorted")


def run_input(rows: DataInput) -> RunInput:
    """The rows as a run's input: the version by its digest, and exactly which rows of it."""
    return RunInput(
        name=rows.spec.dataset,
        digest=rows.spec.version,
        source_type="treadle",
        source=msgspec.json.encode(rows).decode(),
        profile=msgspec.json.encode({"num_rows": rows.rows}).decode(),
        context="training" if rows.role == "train" else rows.role,
    )


def is_code(path: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a path, given by its parts, fits one of the glob patterns (``**`` is any number of folders)."""
    return any(_fits(path, pattern.removeprefix("./").split("/")) for pattern in patterns)


def _fits(path: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_fits(path[skip:], pattern[1:]) for skip in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _fits(path[1:], pattern[1:])


def tail(log: str, lines: int = 15) -> str:
    """The last lines of a log, each cut to a readable length."""
    return "\n".join(line[:300] for line in log.rstrip().splitlines()[-lines:])


def failure(result: JobResult, command: str, timeout: float, log: str, where: str) -> JobFailed | None:
    """The error that a job's end means; None if it finished.

    Args:
        result: How it ended.
        command: What was run.
        timeout: How long it was allowed to run, in seconds.
        log: What it printed.
        where: The file with its whole log.
    """
    if result.outcome == "finished":
        return None
    said = f"; its last words:\n{tail(log)}" if log.strip() else "; it printed nothing"
    if result.outcome == "timed_out":
        return JobTimedOut(
            f"the training ran longer than {format_duration(timeout)} and was stopped{said}",
            where=where,
            fix="see why it hangs, or raise `timeout` in [train]",
        )
    if result.outcome == "cancelled":
        return JobFailed("the training was cancelled", where=where, fix="start it again when you want it")
    if result.outcome == "lost":
        return JobFailed(
            "the training was killed together with its supervisor, every time it was started",
            where=where,
            fix="see what kills it (`dmesg` tells of a lack of memory), then start it again",
        )
    if result.exit_code == _CANNOT_RUN:
        return JobFailed(
            f"the command can't be run: {shlex.quote(command)}{said}",
            where=where,
            fix="check `command` in [train]: the program must be installed, and the file part of `code`",
        )
    fix = "mend the script and run again"
    if result.exit_code == -signal.SIGKILL:
        fix = "the system killed it, mostly for lack of memory: train on less, or on a larger machine"
    return JobFailed(f"the training {_ending(result.exit_code)}{said}", where=where, fix=fix)


def _ending(code: int) -> str:
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with exit code {code}"


def no_model(where: str) -> JobFailed:
    """The error for a training that finished without a model."""
    return JobFailed(
        "the training finished but logged no model",
        where=where,
        fix="call run.log_model(model, example) in the script: it writes model.onnx, its signature "
        "and an example to the run's artifacts under model/",
    )
