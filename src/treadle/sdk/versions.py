"""A registered model for a script that goes on from it, noted as what the run used."""

from __future__ import annotations

from pathlib import Path

from treadle.experiment.types import RunInput
from treadle.kernel.errors import CorruptData, InvalidInput
from treadle.sdk.datasets import note, project
from treadle.sdk.observing import unseen


def model(ref: str) -> str:
    """The folder with a model version's files, to go on from; the run keeps that it used it.

    The run that is under way keeps it, or else those that follow, so that ``treadle lineage`` knows
    which model was made of which. The files are brought once, and their digests are checked each time
    that they have changed since.

    Args:
        ref: Which: ``flights/3``, ``flights@production``, ``flights@ALIAS`` or ``flights``.

    Raises:
        NotFound: If there is no such model or version, or its files are gone.
        InvalidInput: If the name isn't written like that, or where its files are isn't known here.
        CorruptData: If what came isn't what was registered.
        Unavailable: If a server holds the model and doesn't answer.
        MissingExtra: If there is no server and the platform isn't installed.
    """
    from treadle.client import Client, connect
    from treadle.registry import MODEL_SOURCE, materialise

    class Sent:
        """The client's files, checked as they come."""

        def __init__(self, client: Client) -> None:
            self._client = client

        def fetch(self, digest: str, path: Path) -> None:
            from treadle.kernel.ids import digest_file

            path.parent.mkdir(parents=True, exist_ok=True)
            self._client.fetch_blob(digest, path)
            if digest_file(path) != digest:
                path.unlink()
                raise CorruptData(f"what came for {path.name} isn't what was registered", where=ref)

    root = project()
    cache = (root or Path.cwd()) / ".treadle" / "cache" / "models"
    with unseen(), connect(root=root) as client:
        version = client.model(ref)
        if not version.files:
            raise InvalidInput(
                f"where the files of {version.ref} are isn't known here",
                where=version.source or ref,
                fix=f"load it with MLflow's client: models:/{version.ref}",
            )
        folder = materialise(Sent(client), version.files, cache / version.id)
    note(
        RunInput(
            name=version.ref,
            digest=version.id,
            source_type=MODEL_SOURCE,
            source=f"models:/{version.ref}",
            context="base model",
        )
    )
    return str(folder)
