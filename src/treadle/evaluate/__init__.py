"""The gate: checks of data and models, and their verdicts with the evidence for each."""

from typing import TYPE_CHECKING

from treadle.kernel.lazy import attach

if TYPE_CHECKING:
    from treadle.evaluate.behaviour.service import Behaviour as Behaviour
    from treadle.evaluate.bias.over_time import GroupCounts as GroupCounts
    from treadle.evaluate.bias.over_time import RateGap as RateGap
    from treadle.evaluate.bias.over_time import rate_gaps as rate_gaps
    from treadle.evaluate.checking import Checks as Checks
    from treadle.evaluate.data.arrivals import Whole as Whole
    from treadle.evaluate.data.check import check_data as check_data
    from treadle.evaluate.data.check import plan_data as plan_data
    from treadle.evaluate.data.expectations import import_expectations as import_expectations
    from treadle.evaluate.data.imported import ImportedSuite as ImportedSuite
    from treadle.evaluate.data.pandera import import_pandera as import_pandera
    from treadle.evaluate.data.suggest import suggest_suite as suggest_suite
    from treadle.evaluate.data.suite import Suite as Suite
    from treadle.evaluate.data_gates import DataGates as DataGates
    from treadle.evaluate.distances import Atoms as Atoms
    from treadle.evaluate.distances import Distance as Distance
    from treadle.evaluate.distances import js_distance as js_distance
    from treadle.evaluate.distances import ks_distance as ks_distance
    from treadle.evaluate.distances import psi_distance as psi_distance
    from treadle.evaluate.distances import wasserstein_distance as wasserstein_distance
    from treadle.evaluate.distributions import BINS as BINS
    from treadle.evaluate.distributions import MAX_VALUES as MAX_VALUES
    from treadle.evaluate.distributions import bin_edges as bin_edges
    from treadle.evaluate.distributions import margin as margin
    from treadle.evaluate.distributions import pool_bins as pool_bins
    from treadle.evaluate.distributions import psi as psi
    from treadle.evaluate.distributions import psi_quantile as psi_quantile
    from treadle.evaluate.holdout import Holdout as Holdout
    from treadle.evaluate.importance import permutation_importance as permutation_importance
    from treadle.evaluate.jobs import CheckJobs as CheckJobs
    from treadle.evaluate.keeping import KeptByEvaluations as KeptByEvaluations
    from treadle.evaluate.metrics import estimate as estimate
    from treadle.evaluate.metrics import is_loss as is_loss
    from treadle.evaluate.metrics import paired_difference as paired_difference
    from treadle.evaluate.models.measures import Measure as Measure
    from treadle.evaluate.models.measures import measured as measured
    from treadle.evaluate.reports.pictures import forest as forest
    from treadle.evaluate.reports.render import render as render
    from treadle.evaluate.rules import aggregate as aggregate
    from treadle.evaluate.service import Evaluations as Evaluations
    from treadle.evaluate.types import Basis as Basis
    from treadle.evaluate.types import CheckJob as CheckJob
    from treadle.evaluate.types import CheckPlan as CheckPlan
    from treadle.evaluate.types import CheckRequest as CheckRequest
    from treadle.evaluate.types import CheckResult as CheckResult
    from treadle.evaluate.types import Estimate as Estimate
    from treadle.evaluate.types import Evaluation as Evaluation
    from treadle.evaluate.types import ForeignSuite as ForeignSuite
    from treadle.evaluate.types import Outcome as Outcome
    from treadle.evaluate.types import Planned as Planned
    from treadle.evaluate.types import Verdict as Verdict
    from treadle.evaluate.types import WrittenChecks as WrittenChecks

__getattr__, __all__ = attach(
    __name__,
    {
        "Atoms": "distances",
        "BINS": "distributions",
        "Basis": "types",
        "Behaviour": "behaviour.service",
        "CheckJob": "types",
        "CheckJobs": "jobs",
        "CheckPlan": "types",
        "CheckRequest": "types",
        "CheckResult": "types",
        "Checks": "checking",
        "DataGates": "data_gates",
        "Distance": "distances",
        "Estimate": "types",
        "Evaluation": "types",
        "Evaluations": "service",
        "ForeignSuite": "types",
        "GroupCounts": "bias.over_time",
        "Holdout": "holdout",
        "ImportedSuite": "data.imported",
        "KeptByEvaluations": "keeping",
        "MAX_VALUES": "distributions",
        "Measure": "models.measures",
        "Outcome": "types",
        "Planned": "types",
        "RateGap": "bias.over_time",
        "Suite": "data.suite",
        "Verdict": "types",
        "Whole": "data.arrivals",
        "WrittenChecks": "types",
        "aggregate": "rules",
        "bin_edges": "distributions",
        "check_data": "data.check",
        "estimate": "metrics",
        "forest": "reports.pictures",
        "import_expectations": "data.expectations",
        "import_pandera": "data.pandera",
        "is_loss": "metrics",
        "js_distance": "distances",
        "ks_distance": "distances",
        "margin": "distributions",
        "measured": "models.measures",
        "paired_difference": "metrics",
        "permutation_importance": "importance",
        "plan_data": "data.check",
        "pool_bins": "distributions",
        "psi": "distributions",
        "psi_distance": "distances",
        "psi_quantile": "distributions",
        "rate_gaps": "bias.over_time",
        "render": "reports.render",
        "suggest_suite": "data.suggest",
        "wasserstein_distance": "distances",
    },
)
