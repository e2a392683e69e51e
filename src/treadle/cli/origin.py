"""Where a run comes from, as ``treadle runs show`` tells it; and runs that died on this machine."""

from __future__ import annotations

import contextlib
import json
import shlex
from typing import TYPE_CHECKING

from treadle.cli import show
from treadle.kernel.errors import TreadleError
from treadle.kernel.units import format_bytes

if TYPE_CHECKING:
    from treadle.cli.app import App
    from treadle.experiment.types import Provenance, Run, RunInput
    from treadle.kernel.origin.machine import Hardware


def settle(app: App, run_id: str) -> None:
    """Sends what a run left on this machine; one that was killed is ended as such, and says so."""
    from treadle.sdk import sync

    if run_id:
        with contextlib.suppress(TreadleError):  # the run is shown as far as it is known
            sync(app.client, app.root, run_id)


def facts(run: Run) -> list[tuple[str, object]]:
    """Where a run comes from and what it used, as names and sentences; None is what isn't known."""
    told = run.provenance
    lines: list[tuple[str, object]] = [("user", run.user or None)]
    if told is not None:
        lines += [
            ("command", shlex.join(told.command) if told.command else None),
            ("notebook", told.notebook),
            ("code", _code(told)),
            ("folder", told.folder or None),
            ("environment", _environment(told)),
            ("machine", _machine(told.host, told.hardware)),
            ("parent", told.parent),
            ("trigger", told.trigger),
        ]
    lines += [("data", _input(used)) for used in run.inputs]
    if told is not None:
        lines += [("missing", problem) for problem in told.problems]
    return lines


def _code(told: Provenance) -> str | None:
    if told.commit is None and told.patch is None:
        return None
    words = [told.commit[:12] if told.commit else "no commit yet"]
    if told.branch:
        words.append(f"on {told.branch}")
    if told.repository:
        words.append(f"of {told.repository}")
    found = " ".join(words)
    if told.patch:
        changed = "changed" if told.dirty else "with new files"
        return f"{found}; {changed}, see {told.patch}"
    return f"{found}; changed" if told.dirty else found


def _environment(told: Provenance) -> str | None:
    words = [told.python, told.platform and f"on {told.platform}"]
    found = " ".join(word for word in words if word)
    if told.packages is not None:
        where = f" in {told.lock}" if told.lock else ""
        found = f"{found}; {show.counted(told.packages, 'package')}{where}".lstrip("; ")
    return found or None


def _machine(host: str | None, hardware: Hardware | None) -> str | None:
    if hardware is None:
        return host
    parts = [f"{hardware.cores} x {hardware.cpu}" if hardware.cpu else show.counted(hardware.cores, "core")]
    if hardware.memory:
        parts.append(format_bytes(hardware.memory))
    for gpu in dict.fromkeys(hardware.gpus):
        count = hardware.gpus.count(gpu)
        parts.append(f"{count} x {gpu.name} ({format_bytes(gpu.memory)}, driver {gpu.driver})")
    return f"{host}: {', '.join(parts)}" if host else ", ".join(parts)


def _input(used: RunInput) -> str:
    version = ""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        if used.source_type == "treadle":
            version = f"@v{json.loads(used.source)['number']}"
    purpose = f" for {used.context}" if used.context else ""
    return f"{used.name}{version} ({used.digest[:12]}){purpose}"
