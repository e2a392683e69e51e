"""What a training makes of its machine: processor, memory, disk, network, GPUs, as ``system/...`` metrics.

On Linux a reading is a few small files of ``/proc`` (0.3 ms of CPU time), elsewhere psutil's if it is
installed. GPUs are asked through the driver's own library, without a process.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from treadle.experiment import LogMetrics
from treadle.kernel.origin import nvml

EVERY = 10.0
_MEGA = 1e6
_SECTOR = 512
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Counters(Protocol):
    """Where readings come from: growing counters, by name, and values of this moment."""

    def counters(self) -> Mapping[str, float]:
        """Sums since the machine or the process began: CPU seconds and megabytes."""

    def gauges(self) -> Mapping[str, float]:
        """Percentages and megabytes of this moment."""


class Proc:
    """Readings of Linux.

    Args:
        folder: A folder on the disk that the training writes to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def counters(self) -> Mapping[str, float]:
        """See :class:`Counters`."""
        busy = [int(word) for word in _line("/proc/stat").split()[1:9]]
        mine = _line("/proc/self/stat").rpartition(")")[2].split()
        found = {
            "cpu_busy": (sum(busy) - busy[3] - busy[4]) / _TICKS,
            "cpu_all": sum(busy) / _TICKS,
            "process_cpu": (int(mine[11]) + int(mine[12])) / _TICKS,
        }
        return found | _network() | _disks()

    def gauges(self) -> Mapping[str, float]:
        """See :class:`Counters`."""
        memory = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines()[:5])
        total, free = (int(memory[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        disk = os.statvfs(self._folder)
        used = disk.f_blocks - disk.f_bfree  # of what users may use, as df counts
        return {
            "memory": 100 * (1 - free / total),
            "process_memory_mb": pages * os.sysconf("SC_PAGE_SIZE") / _MEGA,
            "disk": 100 * used / (used + disk.f_bavail) if disk.f_blocks else 0.0,
        }


def _line(path: str) -> str:
    with Path(path).open() as file:
        return file.readline()


def _network() -> dict[str, float]:
    received = sent = 0
    for line in Path("/proc/net/dev").read_text().splitlines()[2:]:
        name, _, counts = line.partition(":")
        numbers = counts.split()
        if name.strip() != "lo" and len(numbers) > 8:
            received, sent = received + int(numbers[0]), sent + int(numbers[8])
    return {"network_received": received / _MEGA, "network_sent": sent / _MEGA}


def _disks() -> dict[str, float]:
    """Whole disks only: a partition's traffic is its disk's."""
    read = written = 0
    for line in Path("/proc/diskstats").read_text().splitlines():
        words = line.split()
        if len(words) > 9 and Path("/sys/block", words[2], "device").exists():
            read, written = read + int(words[5]), written + int(words[9])
    return {"disk_read": read * _SECTOR / _MEGA, "disk_written": written * _SECTOR / _MEGA}


class Psutil:
    """Readings of any system that psutil knows."""

    def __init__(self, psutil: Any, folder: Path) -> None:
        self._psutil, self._folder = psutil, folder
        self._process = psutil.Process()

    def counters(self) -> Mapping[str, float]:
        """See :class:`Counters`."""
        times, mine = self._psutil.cpu_times(), self._process.cpu_times()
        network, disk = self._psutil.net_io_counters(), self._psutil.disk_io_counters()
        found = {
            "cpu_busy": sum(times) - times.idle,
            "cpu_all": sum(times),
            "process_cpu": mine.user + mine.system,
        }
        if network:
            found |= {
                "network_received": network.bytes_recv / _MEGA,
                "network_sent": network.bytes_sent / _MEGA,
            }
        if disk:
            found |= {"disk_read": disk.read_bytes / _MEGA, "disk_written": disk.write_bytes / _MEGA}
        return found

    def gauges(self) -> Mapping[str, float]:
        """See :class:`Counters`."""
        return {
            "memory": self._psutil.virtual_memory().percent,
            "process_memory_mb": self._process.memory_info().rss / _MEGA,
            "disk": self._psutil.disk_usage(str(self._folder)).percent,
        }


def readings(folder: Path) -> Counters | None:
    """What this system can be read by; None if by nothing."""
    if Path("/proc/self/statm").exists():
        return Proc(folder)
    with contextlib.suppress(ImportError):
        return Psutil(importlib.import_module("psutil"), folder)
    return None


class Rates:
    """Turns readings into metrics: what grows becomes a rate since the reading before."""

    def __init__(self, source: Counters, library: nvml.Nvml | None) -> None:
        self._source, self._library = source, library
        self._before: tuple[float, Mapping[str, float]] = (time.monotonic(), source.counters())

    def read(self) -> dict[str, float]:
        """The metrics since the call before, by name."""
        (then, before), now, counters = self._before, time.monotonic(), self._source.counters()
        self._before = (now, counters)
        took = max(now - then, 1e-9)
        grown = {name: max(0.0, value - before.get(name, value)) for name, value in counters.items()}
        spent = grown.pop("cpu_all")
        found = {
            "system/cpu": min(100.0, 100 * grown.pop("cpu_busy") / spent) if spent else 0.0,
            "system/process_cpu": 100 * grown.pop("process_cpu") / took,
        }
        found |= {f"system/{name}_mb_s": value / took for name, value in grown.items()}
        found |= {f"system/{name}": value for name, value in self._source.gauges().items()}
        for number, load in enumerate(self._library.loads() if self._library else ()):
            told = {"": load.used, "_memory": load.memory, "_celsius": load.celsius, "_watts": load.watts}
            found |= {f"system/gpu{number}{what}": v for what, v in told.items() if v is not None}
        return found


class Sampler:
    """Reads every few seconds in a thread, until it is stopped; never raises.

    Args:
        log: Takes what was read.
        folder: A folder on the disk that the training writes to.
        every: Seconds from one reading to the next.
        node: Put before the names, where several machines write one run.
    """

    def __init__(self, log: Callable[[LogMetrics], None], folder: Path, every: float, node: str = "") -> None:
        self._log, self._folder, self._every, self._node = log, folder, every, node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="treadle-system", daemon=True)

    def start(self) -> None:
        """Begins."""
        with contextlib.suppress(RuntimeError):  # no more threads can be started
            self._thread.start()

    def stop(self) -> None:
        """Ends, without waiting for longer than a reading takes."""
        self._stop.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def _work(self) -> None:
        with contextlib.suppress(Exception):
            source = readings(self._folder)
            if source is None:
                return
            rates = Rates(source, nvml.load())
            while not self._stop.wait(self._every):
                found = rates.read()
                if self._node:
                    found = {name.replace("/", f"/{self._node}/", 1): v for name, v in found.items()}
                self._log(LogMetrics(time.time(), found))
