"""Libraries that log by themselves: a real training each, and everything of it is there afterwards."""

from __future__ import annotations

import pytest


def test_scikit_learn_logs_its_model_and_it_comes_back(tracked, tmp_path):
    found = tracked.run(
        """
        import numpy
        from sklearn.datasets import load_breast_cancer
        from sklearn.ensemble import RandomForestClassifier
        mlflow.set_experiment("sklearn")
        mlflow.sklearn.autolog(registered_model_name="forest", log_input_examples=True)
        rows, labels = load_breast_cancer(return_X_y=True, as_frame=True)
        with mlflow.start_run() as run:
            model = RandomForestClassifier(n_estimators=10, max_depth=3, random_state=0).fit(rows, labels)
            model.score(rows, labels)
        kept = mlflow.get_run(run.info.run_id)
        (logged,) = kept.outputs.model_outputs
        whole = mlflow.get_logged_model(logged.model_id)
        version = client.get_model_version("forest", "1")
        client.set_registered_model_alias("forest", "champion", "1")
        answers = [
            mlflow.sklearn.load_model(uri).predict(rows)
            for uri in (f"models:/{logged.model_id}", "models:/forest/1", "models:/forest@champion")
        ]
        say(params=kept.data.params, metrics=sorted(kept.data.metrics), status=whole.status.name,
            source=version.source, run=version.run_id == run.info.run_id,
            files=sorted(f.path for f in client.list_artifacts(run.info.run_id)),
            inputs=[i.dataset.name for i in kept.inputs.dataset_inputs],
            same=[bool((answer == model.predict(rows)).all()) for answer in answers],
            searched=[m.name for m in mlflow.search_logged_models(
                experiment_ids=[run.info.experiment_id], output_format="list")])
        """,
        tmp_path,
    )
    assert found["params"].items() >= {"n_estimators": "10", "max_depth": "3"}.items()
    assert {"training_accuracy_score", "training_f1_score", "RandomForestClassifier_score_rows"} <= set(
        found["metrics"]
    )
    assert found["status"] == "READY"
    assert found["source"].startswith("models:/m-")
    assert found["run"]
    assert "estimator.html" in found["files"]
    assert found["inputs"]
    assert found["same"] == [True, True, True]
    assert found["searched"] == ["model"]


@pytest.mark.soak
def test_lightgbm_logs_its_curve(tracked, tmp_path):
    found = tracked.run(
        """
        import lightgbm, numpy
        mlflow.set_experiment("lightgbm")
        mlflow.lightgbm.autolog(log_models=True)
        rng = numpy.random.default_rng(0)
        rows = rng.normal(size=(500, 4))
        labels = (rows[:, 0] + rng.normal(size=500) > 0).astype(int)
        data = lightgbm.Dataset(rows, labels)
        with mlflow.start_run() as run:
            lightgbm.train({"objective": "binary", "verbose": -1, "num_leaves": 4}, data, num_boost_round=12,
                           valid_sets=[data], valid_names=["train"])
        kept = mlflow.get_run(run.info.run_id)
        curve = client.get_metric_history(run.info.run_id, "train-binary_logloss")
        say(steps=[m.step for m in curve], falling=curve[0].value > curve[-1].value,
            leaves=kept.data.params["num_leaves"], models=len(kept.outputs.model_outputs),
            status=kept.info.status)
        """,
        tmp_path,
    )
    assert found["steps"] == list(range(12))
    assert found["falling"]
    assert (found["leaves"], found["models"], found["status"]) == ("4", 1, "FINISHED")
