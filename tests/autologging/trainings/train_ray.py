"""Ray Tune: a run for each trial, by its callback, and by hand from within a trial."""

import os
from pathlib import Path

os.environ |= {
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
}

import mlflow
import ray
import telling
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback, setup_mlflow

address = mlflow.get_tracking_uri()


def trial(config):
    for step in range(5):
        tune.report({"loss": config["x"] / (step + 1)})


def by_hand(config):
    own = setup_mlflow(
        config, experiment_name="ray by hand", tracking_uri=address, create_experiment_if_not_exists=True
    )
    for step in range(5):
        own.log_metric("loss", config["x"] / (step + 1), step=step)
    own.end_run()
    tune.report({"loss": 0})


ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
where = tune.RunConfig(
    name="study", storage_path=str(Path("results").resolve()), verbose=0,
    callbacks=[MLflowLoggerCallback(address, experiment_name="ray", save_artifact=True, tags={"by": "ray"})],
)  # fmt: skip
tune.Tuner(trial, param_space={"x": tune.grid_search([1.0, 2.0])}, run_config=where).fit()
here = tune.RunConfig(name="by hand", storage_path=str(Path("results").resolve()), verbose=0)
tune.Tuner(by_hand, param_space={"x": tune.grid_search([1.0, 2.0])}, run_config=here).fit()
ray.shutdown()
telling.tell(
    callback=[
        telling.run(one.info.run_id)
        for one in mlflow.search_runs(experiment_names=["ray"], output_format="list", order_by=["params.x"])
    ],
    by_hand=[
        telling.run(one.info.run_id)
        for one in mlflow.search_runs(
            experiment_names=["ray by hand"], output_format="list", order_by=["params.x"]
        )
    ],
)
