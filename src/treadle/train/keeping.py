"""Which blobs, runs and versions of data recipes and trainings need."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import msgspec
import sqlalchemy as sa

from treadle.experiment import active_runs
from treadle.kernel.errors import NotFound
from treadle.kernel.keeping import DataUse, Needed, digests
from treadle.kernel.workspace import Workspace
from treadle.train.store import recipes, trainings
from treadle.train.types import CodeVersion


class KeptByTraining:
    """Code and environments of recipes, and the runs that are their replicas."""

    def blobs(
        self, workspace: Workspace, connection: sa.Connection, without: AbstractSet[str]
    ) -> Iterator[str]:
        """The digests of environments, code manifests and the files that these name.

        Raises:
            StorageError: If a manifest can't be read: then it isn't known what must stay.
        """
        del without  # other rooms need them
        yield from digests(connection, recipes.c.recipe, trainings.c.training)
        codes = {recipe.code for recipe in connection.execute(sa.select(recipes.c.recipe)).scalars()}
        for code in sorted(codes):
            try:
                manifest = msgspec.json.decode(workspace.blobs.get(code), type=CodeVersion)
            except NotFound:
                continue  # lost already, and its files with it
            yield from (file.digest for file in manifest.files)

    def needed(self, connection: sa.Connection) -> Iterator[Needed]:
        """The runs of trainings: a recipe that was trained is not trained again."""
        for training in connection.execute(sa.select(trainings.c.training)).scalars():
            yield Needed(training.run, f"recipe {training.recipe[:12]}")

    def uses(self, connection: sa.Connection, dataset: str) -> Iterator[DataUse]:
        """The versions of recipes of which a training's run is still here, and not deleted."""
        query = sa.select(trainings.c.training, recipes.c.recipe).join(recipes)
        found = list(connection.execute(query))
        active = active_runs(connection, [training.run for training, _ in found])
        for training, recipe in found:
            for rows in recipe.data:
                if rows.spec.dataset == dataset and training.run in active:
                    by = f"recipe {training.recipe[:12]} of run {training.run} was trained on it"
                    fix = f"treadle runs delete {training.run}"
                    yield DataUse(digest=rows.spec.version, number=rows.number, by=by, fix=fix)
