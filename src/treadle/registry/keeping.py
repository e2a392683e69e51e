"""Which blobs, runs, logged models and versions of data the registered versions need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from treadle.experiment import data_uses
from treadle.kernel.keeping import DataUse, Needed, digests
from treadle.kernel.workspace import Workspace
from treadle.registry import catalog_store
from treadle.registry.store import versions

_UNREGISTER = "move the registered version to the stage Archived, or delete it, by MLflow's client"
_OWNER = re.compile(r"(?:^|[/:])(m-[0-9a-f]{32}|[0-9a-zA-Z][\w\-.]*)(?=/|$)")


class KeptByRegistry:
    """Model versions, whatever their status."""

    def blobs(
        self, workspace: Workspace, connection: sa.Connection, without: AbstractSet[str]
    ) -> Iterator[str]:
        """The digests of models' files, profiles, code and environments."""
        del workspace, without  # other rooms need them
        return digests(connection, versions.c.spec)

    def needed(self, connection: sa.Connection) -> Iterator[Needed]:
        """The runs and logged models that versions were made from."""
        table = catalog_store.versions
        for row in connection.execute(sa.select(table)).mappings():
            reason = f"model version {row['model']}/{row['number']}"
            named = {row["run"], row["logged_model"]}
            # A source names its run or logged model by a part of its path; other parts are nobody's.
            for uri in (row["source"], row["storage"]):
                named.update(_OWNER.findall(uri))
            for identity in sorted(named - {""}):
                yield Needed(identity, reason)

    def uses(self, connection: sa.Connection, dataset: str) -> Iterator[DataUse]:
        """The versions that models were trained or judged on, unless these are archived."""
        columns = (
            versions.c.origin,
            versions.c.model,
            versions.c.number,
            versions.c.status,
            versions.c.run,
            versions.c.spec,
        )
        of = {}
        for origin, model, number, status, run, spec in connection.execute(sa.select(*columns)):
            if status == "archived":
                continue
            for rows in spec.data if origin == "treadle" else ():
                if rows.spec.dataset == dataset:
                    done = "judged" if rows.role == "holdout" else "trained"
                    by = f"model {model}/{number} ({status}) was {done} on it"
                    fix = f"treadle models archive {model}/{number} --reason TEXT"
                    yield DataUse(digest=rows.spec.version, number=rows.number, by=by, fix=fix)
            if run and origin != "treadle":
                of[run] = (f"model version {model}/{number} came of a run that read it", _UNREGISTER)
        yield from data_uses(connection, dataset, of)
