"""Which blobs, runs and logged models the registry and the catalogue need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from treadle.kernel.keeping import Needed, digests
from treadle.kernel.workspace import Workspace
from treadle.registry import catalog_store
from treadle.registry.store import versions

_OWNER = re.compile(r"(?:^|[/:])(m-[0-9a-f]{32}|[0-9a-zA-Z][\w\-.]*)(?=/|$)")


class KeptByRegistry:
    """Model versions, whatever their status, and the catalogue's."""

    def blobs(
        self, workspace: Workspace, connection: sa.Connection, without: AbstractSet[str]
    ) -> Iterator[str]:
        """The digests of models' files, profiles, code and environments."""
        del workspace, without  # other rooms need them
        return digests(connection, versions.c.spec)

    def needed(self, connection: sa.Connection) -> Iterator[Needed]:
        """The runs and logged models that versions were made from."""
        for model, number, run in connection.execute(
            sa.select(versions.c.model, versions.c.number, versions.c.run)
        ):
            yield Needed(run, f"model version {model}/{number}")
        table = catalog_store.versions
        for row in connection.execute(sa.select(table)).mappings():
            reason = f"registered version {row['model']}/{row['number']}"
            named = {row["run"], row["logged_model"]}
            # A source names its run or logged model by a part of its path; other parts are nobody's.
            for uri in (row["source"], row["storage"]):
                named.update(_OWNER.findall(uri))
            for identity in sorted(named - {""}):
                yield Needed(identity, reason)
