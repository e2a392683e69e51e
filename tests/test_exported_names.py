"""What each room offers is promised: a name that comes or goes shows here."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import treadle

SOURCE = Path(treadle.__file__).parent
EXPORTED = {
    "treadle.api.lakefs": "LakefsApp",
    "treadle.api.mlflow": """
        MlflowApp
    """,
    "treadle": """
        Audio Html Image Plot Table __version__ attach check data model record_provenance start_run sync
    """,
    "treadle.api": "create_app serve",
    "treadle.client": """
        Client HttpTransport SqlAnswer Transport connect find_server is_outdated
    """,
    "treadle.data": """
        About AddPath Approval ArchiveReader Branches ChangePaths ChangeRows CheckedOut Checkout Column
        ColumnDiff ColumnStats Constraint CopyPath CurrentData Damage DataDiff DataInput DataPaths Dataset
        DEFAULT_BRANCH DatasetVersion Datasets Decision DeleteVersions Deletion Difference Entry EventBody
        Fetch FetchedVersion FileEntry Finding Found Gate GateResult ImportBucket ImportVersion Judge Judged
        KeptByData Merge MergePlan MergeReview MergeRows Merged Mode Moving NewComment NewConstraint NewRef
        NewReview Pack PathChange PathConflict PathEntry PathPage Protection PruneVersions Pull
        Pulled Push PushedVersions Ref RefSettings Remotes RestoreTable RestoreVersions Retention Revert
        Review ReviewChange ReviewDetails ReviewEvent Reviews Roles RowConflict Rows RunGates SentContents
        SliceSpec Source Staging Standing TableColumn TableDiff TableEvent TableState Tables VacuumTable
        Vacuumed Verified Verify VersionFate VersionUse Who WorkStatus WorkingTree WriteRows Wrote
        WEIGHT csv_to_parquet frame_content ignore
    """,
    "treadle.deploy": """
        ArmCounts BurnRate Counts DeploymentLineage DeploymentPlan DeploymentStatus Deployments
        DesiredRevision Environment Environments Guard InEnvironment LoadProgress LoadTest LoadTestJob
        LoadTestJobs LoadTests LocalReplicas NewLoadTest Replica ReplicaOptions ReplicaReport ReplicaReports
        Revision Rollout ServedAnswer ServiceLevel ServiceLevels Stretch Supervisor Trial TrialReport
        answer_values declared_environments decode_answer decode_request listen replica_command
        replica_options request_columns serve_replicas service_levels
    """,
    "treadle.deploy.replica": "Platform ReplicaServer serve",
    "treadle.deploy.worker": "Environments ForeignModel Preparing Table plain",
    "treadle.evaluate": """
        Atoms BINS Basis Behaviour CheckJob CheckJobs CheckPlan CheckRequest CheckResult Checks DataGates
        Distance Estimate Evaluation Evaluations ForeignSuite GroupCounts Holdout ImportedSuite
        KeptByEvaluations MAX_VALUES Measure Outcome Planned RateGap Suite Verdict Whole WrittenChecks
        aggregate bin_edges check_data estimate forest import_expectations import_pandera is_loss js_distance
        ks_distance margin measured paired_difference permutation_importance plan_data pool_bins psi
        psi_distance psi_quantile rate_gaps render suggest_suite wasserstein_distance
    """,
    "treadle.experiment": """
        Answered Artifact Check Checked CodeDiff Comparison Comparisons CopyKind Curve CurveCopy
        DatasetFilter Deleted ExperimentCopy Experiments FileDiff Files Finish Hasher
        ImportModel ImportRun ImportRuns Importance Imported ImportedRuns Imports InputDiff
        JournalBatch JournalReader KeptByRuns LogArtifact LogInput LogMetrics LogParams
        LogProvenance LogTags LoggedModel LoggedModels LoggedStatus MOST_PARTS Media MediaInfo
        MetricWriter ModelMetric NewRun NotImported ParamImportance Place Point Provenance
        REPEATABILITY Record Run RunCopy RunCurve RunFolder RunInput SharedCurves SqlColumn
        SqlDoor SqlEnd SqlPiece SqlQuery SqlTable Tally Tracking Write check_artifact_path
        check_input check_key check_moment check_name check_params check_run check_tags
        count_beside deleted_experiments deleted_models deleted_runs encode_line
        erase_experiment erase_models erase_runs evenly find_logged_model inside joined
        model_tally pack_curve page_of run_tally runs_html tag_logged_model tags_of target
        text_of to_datetime whole_milliseconds within_noise active_runs data_uses
    """,
    "treadle.experiment.grammar": """
        Comparison EXPERIMENTS Entity LOGGED_MODELS LoggedModelOrder MODELS Op OrderKey Ordering
        RUNS Record VERSIONS Value arrange complete holds like matches parse_experiment_filter
        parse_experiment_order parse_listed_filter parse_logged_model_filter
        parse_logged_model_order parse_model_filter parse_model_order parse_run_filter
        parse_run_order parse_version_filter parse_version_order
    """,
    "treadle.govern": """
        Collect Collected Collector Gone Spending Usage Usages
    """,
    "treadle.infra": "Infra",
    "treadle.interop.lakefs": "LakefsReport LakefsServer Place import_lakefs parse_place",
    "treadle.interop.dvc": """
        DvcExport DvcImporter DvcReport Repository TakenOutput export_dvc
    """,
    "treadle.interop": """
        HttpSource ImportReport Importer Line Source SourceFile Trouble count export_files export_server
        open_source
    """,
    "treadle.kernel.config": """
        AlsoCheck BehaviourCheck BiasCheck Budget ChallengerConfig ChecksConfig ColumnConfig Config DataCheck
        DatasetConfig
        DeployConfig DriftConfig DriftStatistic EarlyStop EnvironmentConfig GroupCheck GuardsConfig
        ModelConfig MonitorConfig
        MultivariateConfig ObjectiveConfig Part PassK PerformanceCheck PicklePolicy PredictionsConfig Project
        QualityConfig RegistryConfig RemoteConfig RetrainConfig ScorerConfig SegmentConfig ServeConfig
        SliceCheck StageConfig Store StrategyName TargetConfig TeamConfig TrainConfig TriggerConfig
        WindowConfig config_digest find_project load_config parse_config
    """,
    "treadle.monitor": """
        Alert Answered Backfill CategoryProfile ChannelTest Delivery DroppedFile Drops Hindsight Hindsights
        Incident IncidentChange IncidentReport Incidents InferenceEvent LabelBatch MonitorKind Monitors Mute
        NewMute NumericProfile Payloads PredictionBatch PredictionLog Profile SegmentEncoder
        SegmentProfile ServiceWatch Severity Summary Unpaired WindowLineage WindowResult
        WindowState WrittenMonitors build_profile incident_page profile_segments read_records read_segment
        seed_of with_estimates
    """,
    "treadle.paths": "Place TreadleFileSystem bring find_place needs_names read_place",
    "treadle.registry": """
        Approval Approvals Archives Backoff CardFormat CardText CardTexts Cards Catalog CatalogModel
        CatalogVersion Field FieldKind Further ImportCatalogModel KeptByRegistry Lineage LineageStep
        Lineages LoadedModel MLFLOW MODEL_SOURCE ModelFile ModelVersion NewCardText NewCatalogVersion
        NewVersion OpenLineage Output Passport Pickled Registration Registry Signature SmallBatches Stage
        Standing Status Transition card_file check_loadable check_stage has_reached import_model
        made_up_example materialise read_card_file read_example read_mlmodel register_model scan_folder
        sign_archive stage_of
    """,
    "treadle.retrain": """
        Approved AskRetraining Challenger Challengers Compared Cycle CycleState Cycles Evidence Goal Hold
        InProduction KeptByCycles Loop NewCycle Plan PlannedCost PlannedStage PlannedWindow Reign
        ReplayState ReplayStep Replays RetrainPlan Retraining Retrainings Signal Stage StartChallenger
        StopChallenger Tick Trigger Triggers WebhookBody Worker approve changed_at chosen in_production
        load_test_before_approval load_test_before_deployment
        redeploy render_report
    """,
    "treadle.retrain.report": "render_report",
    "treadle.sdk": """
        Audio Checked Frame Html Image Plot RunHandle RunSink Table attach check data model
        record_provenance start_run sync
    """,
    "treadle.train": """
        CodeFile CodeVersion Environment Executor JOBS_ABREAST JobContext JobResult JobSpec KeptByTraining
        LocalExecutor Package Recipe Trainer Training run_input
    """,
}


def text(room: str) -> str:
    return (SOURCE.joinpath(*room.split(".")[1:]) / "__init__.py").read_text()


LAZY = [room for room in EXPORTED if room != "treadle" and "attach(" in text(room)]


def names(room: str) -> list[str]:
    return list(importlib.import_module(room).__all__)


@pytest.mark.parametrize("room", EXPORTED)
def test_the_names_are_the_promised_ones(room: str) -> None:
    assert sorted(names(room)) == sorted(EXPORTED[room].split())


@pytest.mark.parametrize("room", EXPORTED)
def test_every_name_is_there_when_it_is_asked_for(room: str) -> None:
    module = importlib.import_module(room)
    for name in names(room):
        assert getattr(module, name) is not None, name
    with pytest.raises(AttributeError, match="has no attribute 'never_made'"):
        _ = module.never_made


def test_no_package_is_forgotten() -> None:
    found = {
        ".".join(("treadle", *path.parent.relative_to(SOURCE).parts))
        for path in SOURCE.rglob("__init__.py")
        if "__all__" in path.read_text()
    }
    assert found == set(EXPORTED)


@pytest.mark.parametrize("room", LAZY)
def test_type_checkers_see_the_same_names(room: str) -> None:
    """The imports under ``TYPE_CHECKING`` name the same things, from the same files, as those at run time."""
    seen = {
        alias.asname: node.module
        for node in ast.walk(ast.parse(text(room)))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(room)
        for alias in node.names
        if alias.asname
    }
    assert sorted(seen) == sorted(names(room))
    for name, module in seen.items():
        there = getattr(importlib.import_module(str(module)), name)
        assert there is getattr(importlib.import_module(room), name)
