"""Which of several processes of one training this is, and how they agree on one run. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

_LAUNCHERS = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),  # torchrun, accelerate, DeepSpeed
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
)


class Rank(msgspec.Struct, frozen=True):
    """Which process of a training this is.

    Attributes:
        number: Of all, counted from 0.
        world: How many there are.
        local: Of those on this machine, counted from 0.
    """

    number: int
    world: int
    local: int


def seen(environ: Mapping[str, str], *, asked: bool) -> Rank | None:
    """Which process this is, if a launcher says so and there are several.

    Args:
        environ: The environment.
        asked: Whether the script says itself that it is one of several. Without that only
            torchrun's variables count: MPI and Slurm also start trainings that are independent.
    """
    for rank, world, local in _LAUNCHERS if asked else _LAUNCHERS[:1]:
        numbers = [environ.get(name, "") for name in (rank, world)]
        if all(number.isdecimal() for number in numbers) and int(numbers[1]) > 1:
            number, here = int(numbers[0]), environ.get(local, "")
            return Rank(number, int(numbers[1]), int(here) if here.isdecimal() else number)
    return None


def common_id(environ: Mapping[str, str], launcher: str | None, nth: int) -> str | None:
    """An identifier at which all processes of one training, and no other, arrive.

    Args:
        environ: The environment.
        launcher: What identifies the process that started this one, on this machine.
        nth: How many runs this process has shared before.

    Returns:
        The run's identifier; None if the environment has nothing that they share.
    """
    if environ.get("TREADLE_RUN"):
        return environ["TREADLE_RUN"]
    shared: tuple[str, ...] | None = None
    if launcher and environ.get("LOCAL_WORLD_SIZE") == environ.get("WORLD_SIZE") is not None:
        shared = ("launcher", launcher)
    elif environ.get("SLURM_JOB_ID"):
        names = ("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_STEP_ID")
        shared = ("slurm", *(environ.get(name, "") for name in names))
    elif environ.get("TORCHELASTIC_RUN_ID", "none") != "none":
        names = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT")
        shared = ("torchrun", *(environ.get(name, "") for name in names))
    if shared is None:
        return None
    return "run_" + hashlib.sha256("\0".join((*shared, str(nth))).encode()).hexdigest()[:26]
