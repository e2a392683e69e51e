"""What a careful user does by hand: evaluation, media, tables, datasets, nested and asynchronous logging."""

import time

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
import telling
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

mlflow.set_experiment("everything")
rows, labels = load_breast_cancer(return_X_y=True, as_frame=True)
rows = rows.iloc[:, :4]
data = mlflow.data.from_pandas(rows.assign(label=labels), source="here", name="cancer", targets="label")
with mlflow.start_run(description="all of it") as run:
    mlflow.log_input(data, context="training", tags={"split": "all"})
    model = LogisticRegression(max_iter=2000).fit(rows, labels)
    info = mlflow.sklearn.log_model(
        model, name="logistic", registered_model_name="everything", input_example=rows.head(3),
        params={"solver": "lbfgs"}, tags={"team": "forecast"}, step=3,
    )  # fmt: skip
    mlflow.log_metric("auc", 0.75, step=3, model_id=info.model_id, dataset=data)
    judged = mlflow.models.evaluate(
        info.model_uri, data, model_type="classifier", evaluator_config={"log_explainer": False}
    )
    mlflow.log_image(np.zeros((8, 8, 3), np.uint8), key="black", step=1)
    mlflow.log_image(np.zeros((8, 8, 3), np.uint8), "plain.png")
    mlflow.log_table({"question": ["a", "b"], "answer": [1, 2]}, "answers.json")
    mlflow.log_table({"question": ["c"], "answer": [3]}, "answers.json")
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    mlflow.log_figure(figure, "plots/line ü.png")
    mlflow.log_dict({"a": [1, 2]}, "settings/a.json")
    mlflow.log_text("text", "notes/über uns.txt")
    futures = [mlflow.log_metric("async", step / 2, step=step, synchronous=False) for step in range(300)]
    mlflow.log_params({f"p{number}": number for number in range(100)}, synchronous=False).wait()
    for one in futures:
        one.wait()
    with mlflow.start_run(nested=True, run_name="below") as below, mlflow.start_run(nested=True) as deeper:
        mlflow.log_metric("depth", 2)
with mlflow.start_run(log_system_metrics=True) as watched:
    while "system/cpu_utilization_percentage" not in mlflow.get_run(watched.info.run_id).data.metrics:
        time.sleep(0.2)
failed = None
try:
    with mlflow.start_run() as broken:
        failed = broken.info.run_id
        {}["broken"]
except KeyError:
    pass
run_id, client = run.info.run_id, mlflow.MlflowClient()
client.set_registered_model_alias("everything", "champion", 1)
addresses = [
    "models:/everything@champion",
    "models:/everything/1",
    f"models:/{info.model_id}",
    info.model_uri,
]
loaded = [mlflow.pyfunc.load_model(one).predict(rows) for one in addresses]
telling.tell(
    run=telling.run(run_id),
    same=[bool((one == model.predict(rows)).all()) for one in loaded],
    judged=sorted(judged.metrics),
    table=mlflow.load_table("answers.json", run_ids=[run_id]).to_dict("list"),
    settings=mlflow.artifacts.load_dict(f"runs:/{run_id}/settings/a.json"),
    text=mlflow.artifacts.load_text(f"runs:/{run_id}/notes/über uns.txt"),
    image=mlflow.artifacts.load_image(f"runs:/{run_id}/plain.png").size,
    below=[
        mlflow.get_run(one.info.run_id).data.tags["mlflow.parentRunId"] == up
        for one, up in ((below, run_id), (deeper, below.info.run_id))
    ],
    failed=client.get_run(failed).info.status,
    found=[
        one.name
        for one in mlflow.search_logged_models(
            experiment_ids=[run.info.experiment_id],
            filter_string="metrics.auc > 0.7 AND params.solver = 'lbfgs' AND tags.team = 'forecast'",
            datasets=[{"dataset_name": "cancer", "dataset_digest": data.digest}],
            order_by=[{"field_name": "metrics.auc", "ascending": False}],
            output_format="list",
        )
    ],
    frame=len(pd.DataFrame(mlflow.search_runs(experiment_names=["everything"]))),
)
