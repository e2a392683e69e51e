"""What a program runs on: processor, memory, GPUs, interpreter."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from pathlib import Path

import msgspec

from treadle.kernel.origin import nvml
from treadle.kernel.origin.nvml import Gpu

_SMI = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits")
_SECONDS = 10


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """What a program runs on.

    Attributes:
        cpu: The processor's model.
        cores: How many of its cores this process may use.
        memory: Of the machine or, if that is less, of the container, in bytes.
        gpus: Its GPUs, as far as their driver tells.
    """

    cpu: str = ""
    cores: int = 0
    memory: int = 0
    gpus: tuple[Gpu, ...] = ()


def hardware() -> Hardware:
    """This machine."""
    return Hardware(cpu=_cpu(), cores=cores(), memory=memory(), gpus=_gpus())


def python() -> str:
    """The interpreter, such as ``CPython 3.11.9``."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def system() -> str:
    """Operating system and processor, such as ``Linux 6.8.0 x86_64``."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def cores() -> int:
    """How many cores this process may use."""
    with contextlib.suppress(AttributeError, OSError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 0


def memory() -> int:
    """The memory that this process may use, in bytes; 0 if that can't be told."""
    found = 0
    with contextlib.suppress(ValueError, OSError, AttributeError):
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(ValueError, OSError):  # the container's limit, with cgroup v2
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        found = min(found, limit) if found else limit
    return found


def _cpu() -> str:
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open() as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() in {"model name", "Model", "cpu model"}:
                return value.strip()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, timeout=5, check=True
        )
        return done.stdout.decode(errors="replace").strip()
    return platform.processor() or platform.machine()


def _gpus() -> tuple[Gpu, ...]:
    with nvml.opened() as library:
        if library is not None:
            return library.gpus()
    try:
        done = subprocess.run(_SMI, capture_output=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    found = []
    for line in done.stdout.decode(errors="replace").splitlines():
        name, _, rest = line.partition(", ")
        mebibytes, _, driver = rest.partition(", ")
        if mebibytes.isdigit():
            found.append(Gpu(name=name, memory=int(mebibytes) << 20, driver=driver.strip()))
    return tuple(found)
