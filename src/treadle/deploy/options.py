"""How a replica is run, from ``[serve]``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from treadle.deploy.types import ReplicaOptions
from treadle.kernel.config import PicklePolicy, ServeConfig
from treadle.kernel.errors import InvalidInput
from treadle.kernel.units import parse_duration, parse_size


def replica_options(
    config: ServeConfig,
    models: Sequence[str],
    state: Path,
    name: str = "replica",
    host: str | None = None,
    port: int | None = None,
    pickle: PicklePolicy = "warn",
    environment: str = "",
    *,
    grpc_port: int | None = None,
) -> ReplicaOptions:
    """A replica's options.

    Args:
        config: ``[serve]``.
        models: What it serves.
        state: Its folder.
        name: What it calls itself.
        host: The address to listen on, in place of the configured one.
        port: The port, in place of the configured one.
        pickle: Which models that come as pickles may be loaded.
        environment: The environment whose deployment it follows; empty for the last one. What is
            answered in another is not written down: it is no traffic that a monitor should see.
        grpc_port: The port for gRPC; none by default, for the configured one is taken by the server that
            ``treadle up`` keeps.

    Raises:
        InvalidInput: If a duration or a size of ``config`` is none, or pinned models leave no room.
    """
    pinned = tuple(model for model in config.pinned if model in models)
    if config.max_models is not None and len(pinned) >= config.max_models and len(models) > len(pinned):
        raise InvalidInput(
            f"{len(pinned)} models are pinned, of {config.max_models} that may be in memory; "
            f"none of the other {len(models) - len(pinned)} could be loaded",
            where="[serve] pinned",
            fix=f"set [serve] max_models to {len(pinned) + 1} or more, or pin fewer",
        )
    return ReplicaOptions(
        models=tuple(models),
        state=str(state),
        name=name,
        host=host or config.host,
        port=config.port if port is None else port,
        grpc_port=grpc_port,
        max_rows=config.max_rows,
        max_queue=config.max_queue,
        max_concurrency=config.max_concurrency,
        max_body=parse_size(config.max_body),
        max_memory=parse_size(config.max_memory) if config.max_memory else None,
        max_models=config.max_models,
        pinned=pinned,
        timeout=parse_duration(config.timeout).total_seconds(),
        missing=config.missing,
        log_predictions=config.log_predictions and not environment,
        environments=config.environments,
        pickle=pickle,
        flush=parse_duration(config.flush).total_seconds(),
        journal_sync=config.journal_sync,
        environment=environment,
    )
