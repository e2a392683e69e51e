"""The services of one workspace, made when first asked for."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from pathlib import Path

from treadle.data import (
    Branches,
    DataPaths,
    Datasets,
    KeptByData,
    Moving,
    Remotes,
    Retention,
    Reviews,
    Staging,
    Tables,
    WorkingTree,
)
from treadle.deploy import DeploymentLineage, Deployments, LoadTestJobs, LoadTests
from treadle.evaluate import CheckJobs, Checks, DataGates, Evaluations, KeptByEvaluations
from treadle.experiment import (
    Comparisons,
    Experiments,
    Files,
    Imports,
    KeptByRuns,
    LoggedModels,
    MetricWriter,
    SqlDoor,
    Tracking,
    active_runs,
)
from treadle.govern import Collector, Usages
from treadle.infra import Infra
from treadle.kernel.keeping import Keeper
from treadle.kernel.workspace import Workspace
from treadle.monitor import (
    Drops,
    Hindsights,
    Incidents,
    Monitors,
    Payloads,
    PredictionLog,
    WindowLineage,
)
from treadle.registry import Archives, Cards, Catalog, KeptByRegistry, Lineages, Registry
from treadle.retrain import Challengers, Cycles, KeptByCycles, Loop, Replays, Retrainings, Worker
from treadle.train import KeptByTraining


class Rooms:
    """What the routes call.

    Args:
        root: The project's folder.
        doing: What this process is, for others that want the wheel.
        url: Where its API answers, if it serves one.
    """

    def __init__(self, root: Path, doing: str, url: str | None) -> None:
        self.workspace = Workspace.open(root)
        self.worker = Worker(self.workspace, doing, url)

    @cached_property
    def experiments(self) -> Experiments:
        """Runs."""
        return Experiments(self.workspace)

    @cached_property
    def comparisons(self) -> Comparisons:
        """Runs beside each other."""
        return Comparisons(self.workspace)

    @cached_property
    def sql(self) -> SqlDoor:
        """Questions in SQL."""

        def models() -> list[list[object]]:
            return [
                [one.model, one.number, one.status, one.run, _microseconds(one.created_at), one.approved_by]
                for one in self.registry.list()
            ]

        return SqlDoor(self.workspace, models)

    @cached_property
    def metrics(self) -> MetricWriter:
        """Writes metrics as they are logged."""
        return MetricWriter(self.workspace.database)

    @cached_property
    def tracking(self) -> Tracking:
        """Experiments and runs, for clients that log value by value."""
        return Tracking(self.workspace, self.metrics)

    @cached_property
    def files(self) -> Files:
        """Files of runs and logged models."""
        return Files(self.workspace)

    @cached_property
    def logged_models(self) -> LoggedModels:
        """Models that runs logged."""
        return LoggedModels(self.workspace)

    @cached_property
    def imports(self) -> Imports:
        """What came from other tracking servers."""
        return Imports(self.workspace)

    @cached_property
    def catalog(self) -> Catalog:
        """Registered models and versions, as MLflow's clients know them."""
        return Catalog(self.workspace)

    @cached_property
    def archives(self) -> Archives:
        """Versions as files, for another Treadle and from one."""
        return Archives(self.workspace)

    @cached_property
    def infra(self) -> Infra:
        """What runs beside Treadle, rendered."""
        return Infra(self.workspace)

    @cached_property
    def cards(self) -> Cards:
        """What is told of each model, and what people write of it."""
        return Cards(self.workspace)

    @cached_property
    def lineages(self) -> Lineages:
        """Where data and models come from, and where they went."""
        further = (DeploymentLineage(self.workspace), WindowLineage(self.workspace))
        return Lineages(self.workspace, further)

    @cached_property
    def datasets(self) -> Datasets:
        """Dataset versions."""
        return Datasets(self.workspace)

    @cached_property
    def working(self) -> WorkingTree:
        """The data in the project's folder."""
        return WorkingTree(self.workspace)

    @cached_property
    def tables(self) -> Tables:
        """Tables with a history."""
        return Tables(self.workspace)

    @cached_property
    def branches(self) -> Branches:
        """Branches and tags of data."""
        return Branches(self.workspace)

    @cached_property
    def remotes(self) -> Remotes:
        """Where versions of data are pushed to and fetched from."""
        return Remotes(self.workspace)

    @cached_property
    def reviews(self) -> Reviews:
        """Changes of data that are looked at before a branch takes them."""
        return Reviews(self.workspace, self.branches, DataGates(self.workspace))

    @cached_property
    def moving(self) -> Moving:
        """Versions that come from other tools, and go to them."""
        return Moving(self.workspace)

    @cached_property
    def staging(self) -> Staging:
        """Branches of data, for clients that write object by object."""
        return Staging(self.workspace, self.branches)

    @cached_property
    def data_paths(self) -> DataPaths:
        """Versions of data by path."""
        return DataPaths(self.workspace, self.branches)

    @cached_property
    def registry(self) -> Registry:
        """Model versions."""
        return Registry(self.workspace)

    @cached_property
    def evaluations(self) -> Evaluations:
        """Verdicts."""
        return Evaluations(self.workspace)

    @cached_property
    def checks(self) -> Checks:
        """Checks that somebody asks for."""
        return Checks(self.workspace)

    @cached_property
    def check_jobs(self) -> CheckJobs:
        """Checks under way."""
        return CheckJobs(self.workspace)

    @cached_property
    def deployments(self) -> Deployments:
        """What should run."""
        return Deployments(self.workspace)

    @cached_property
    def load_test_jobs(self) -> LoadTestJobs:
        """Load tests under way."""
        return LoadTestJobs(self.workspace)

    @cached_property
    def load_tests(self) -> LoadTests:
        """Whether a version holds its objective."""
        return LoadTests(self.workspace)

    @cached_property
    def log(self) -> PredictionLog:
        """Predictions and labels."""
        return PredictionLog(self.workspace)

    @cached_property
    def payloads(self) -> Payloads:
        """Requests and responses that other servers log."""
        return Payloads(self.workspace)

    @cached_property
    def drops(self) -> Drops:
        """Files that are dropped for the log."""
        return Drops(self.workspace)

    @cached_property
    def hindsights(self) -> Hindsights:
        """Past windows as they were known at a moment."""
        return Hindsights(self.workspace)

    @cached_property
    def monitors(self) -> Monitors:
        """Windows and alerts."""
        return Monitors(self.workspace)

    @cached_property
    def incidents(self) -> Incidents:
        """Alerts that belong together, and who looks after them."""
        return Incidents(self.workspace)

    @cached_property
    def cycles(self) -> Cycles:
        """Turns of the wheel."""
        return Cycles(self.workspace)

    @cached_property
    def loop(self) -> Loop:
        """From monitoring back to training."""
        return Loop(self.workspace, self.worker)

    @cached_property
    def retrainings(self) -> Retrainings:
        """Retrainings that are asked for."""
        return Retrainings(self.workspace, self.loop)

    @cached_property
    def challengers(self) -> Challengers:
        """Versions that are held beside production."""
        return Challengers(self.workspace)

    @cached_property
    def replays(self) -> Replays:
        """Replays of the past."""
        return Replays(self.workspace, self.loop)

    @cached_property
    def usages(self) -> Usages:
        """Compute used."""
        return Usages(self.workspace)

    @cached_property
    def keepers(self) -> tuple[Keeper, ...]:
        """Every room that refers to blobs, runs or versions of data."""
        return (
            KeptByRuns(),
            KeptByData(),
            KeptByTraining(),
            KeptByRegistry(),
            KeptByEvaluations(),
            KeptByCycles(),
        )

    @cached_property
    def retention(self) -> Retention:
        """Deletes versions of data that nothing needs, and restores them."""
        return Retention(self.workspace, self.branches, self.keepers, active_runs)

    @cached_property
    def collector(self) -> Collector:
        """Frees what nothing needs any more."""
        return Collector(self.workspace, self.keepers, self.retention)

    def close(self) -> None:
        """Lets go of the wheel and the stores."""
        if "check_jobs" in self.__dict__:
            self.check_jobs.close()
        if "load_test_jobs" in self.__dict__:
            self.load_test_jobs.close()
        self.worker.close()
        if "metrics" in self.__dict__:
            self.metrics.close()
        self.workspace.close()


def _microseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
