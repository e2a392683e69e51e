"""A study whose trials are kept by MLflow: as runs by a callback, and as the study's own storage."""

import mlflow
import optuna
import telling
from mlflow.optuna.storage import MlflowStorage
from optuna.samplers import RandomSampler
from optuna_integration import MLflowCallback

optuna.logging.set_verbosity(optuna.logging.ERROR)


def curve(trial):
    x = trial.suggest_float("x", -1, 1)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    for step in range(3):
        trial.report(x * x / (step + 1), step)
    trial.set_user_attr("note", kind)
    return x * x


callback = MLflowCallback(metric_name="loss", mlflow_kwargs={"nested": False})
optuna.create_study(study_name="by callback", sampler=RandomSampler(0)).optimize(
    curve, n_trials=4, callbacks=[callback]
)
trials = mlflow.search_runs(experiment_names=["by callback"], output_format="list")
experiment = mlflow.create_experiment("by storage")
storage = MlflowStorage(experiment_id=experiment)
study = optuna.create_study(study_name="kept", storage=storage, sampler=RandomSampler(0), load_if_exists=True)
study.optimize(curve, n_trials=4)
again = optuna.load_study(study_name="kept", storage=MlflowStorage(experiment_id=experiment))
telling.tell(
    callback=[telling.run(one.info.run_id) for one in trials],
    kept=[[t.number, t.state.name, t.params["kind"], t.value, t.intermediate_values] for t in again.trials],
    first=[[t.number, t.state.name, t.params["kind"], t.value, t.intermediate_values] for t in study.trials],
    best=[again.best_params, study.best_params],
    runs=sorted(one.info.status for one in mlflow.search_runs([experiment], output_format="list")),
)
