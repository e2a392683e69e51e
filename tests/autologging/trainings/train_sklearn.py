"""A search over a grid: a run with a run below it for each of the best candidates."""

import mlflow
import telling
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

mlflow.set_experiment("sklearn")
mlflow.autolog(log_input_examples=True, log_model_signatures=True)
rows, labels = load_iris(return_X_y=True, as_frame=True)
with mlflow.start_run() as run:
    search = GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [0.1, 1.0, 10.0]}, cv=3)
    search.fit(rows, labels)
    score = search.score(rows, labels)
children = mlflow.search_runs(
    experiment_names=["sklearn"],
    filter_string=f"tags.mlflow.parentRunId = '{run.info.run_id}'",
    output_format="list",
)
whole = telling.run(run.info.run_id)
best = mlflow.sklearn.load_model(f"models:/{whole['models'][-1]['id']}")
telling.tell(
    run=whole,
    score=score,
    children=sorted(
        [child.data.params["svc__C"], child.info.status, child.data.metrics["mean_test_score"]]
        for child in children
    ),
    same=bool((best.predict(rows) == search.predict(rows)).all()),
)
