"""XGBoost by its own interface and by scikit-learn's."""

import mlflow
import numpy as np
import telling
import xgboost

mlflow.set_experiment("xgboost")
mlflow.xgboost.autolog(registered_model_name="boosted")
rng = np.random.default_rng(0)
rows = rng.normal(size=(400, 4))
labels = (rows[:, 0] + rng.normal(size=400) > 0).astype(int)
with mlflow.start_run() as native:
    data = xgboost.DMatrix(rows, label=labels)
    booster = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 2, "eval_metric": ["logloss", "auc"]},
        data,
        num_boost_round=15,
        evals=[(data, "train")],
        early_stopping_rounds=20,
        verbose_eval=False,
    )
with mlflow.start_run() as estimator:
    classifier = xgboost.XGBClassifier(n_estimators=8, max_depth=2).fit(
        rows, labels, eval_set=[(rows, labels)], verbose=False
    )
client = mlflow.MlflowClient()
client.set_registered_model_alias("boosted", "champion", "1")
loaded = mlflow.xgboost.load_model("models:/boosted@champion")
telling.tell(
    native=telling.run(native.info.run_id),
    estimator=telling.run(estimator.info.run_id),
    same=bool(np.allclose(loaded.predict(data), booster.predict(data))),
    versions=sorted(int(one.version) for one in client.search_model_versions("name = 'boosted'")),
)
