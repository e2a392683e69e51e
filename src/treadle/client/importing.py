"""What the client asks to take in runs and models of other tracking servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from treadle.client.calls import Calls
from treadle.experiment import (
    Check,
    Checked,
    ExperimentCopy,
    Imported,
    ImportedRuns,
    ImportModel,
    ImportRun,
    ImportRuns,
)
from treadle.experiment.types import Experiment
from treadle.registry import CatalogModel, ImportCatalogModel


class ImportCalls(Calls):
    """Calls of the routes below ``/v1/import``."""

    def imported(self, source: str) -> Iterator[Imported]:
        """What came from a source."""
        after: str | None = None
        while True:
            found: list[Imported] = self._ask(list[Imported], "GET", "/v1/import", source=source, after=after)
            yield from found
            if not found:
                return
            after = found[-1].id

    def import_experiment(self, copy: ExperimentCopy) -> Experiment:
        """The experiment that another server's becomes."""
        found: Experiment = self._ask(Experiment, "POST", "/v1/import/experiments", copy)
        return found

    def import_runs(self, new: Sequence[ImportRun]) -> ImportedRuns:
        """Takes up to 1,000 runs in: of each everything or nothing."""
        asked = ImportRuns(runs=list(new))
        found: ImportedRuns = self._ask(ImportedRuns, "POST", "/v1/import/runs", asked)
        return found

    def import_logged_model(self, new: ImportModel) -> Imported:
        """Takes a logged model in: everything or nothing."""
        found: Imported = self._ask(Imported, "POST", "/v1/import/logged-models", new)
        return found

    def import_registered_model(self, new: ImportCatalogModel) -> CatalogModel:
        """Takes a registered model in: everything or nothing."""
        found: CatalogModel = self._ask(CatalogModel, "POST", "/v1/import/registered-models", new)
        return found

    def check_imported(self, asked: Check) -> list[Checked]:
        """Counts what is kept, and has the bytes of files read again."""
        found: list[Checked] = self._ask(list[Checked], "POST", "/v1/import/check", asked)
        return found
