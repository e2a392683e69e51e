"""LightGBM by its own interface and by scikit-learn's."""

import lightgbm
import mlflow
import numpy as np
import telling

mlflow.set_experiment("lightgbm")
mlflow.lightgbm.autolog()
rng = np.random.default_rng(0)
rows = rng.normal(size=(400, 4))
labels = (rows[:, 0] + rng.normal(size=400) > 0).astype(int)
data = lightgbm.Dataset(rows, labels)
with mlflow.start_run() as native:
    booster = lightgbm.train(
        {"objective": "binary", "metric": ["binary_logloss", "auc"], "verbose": -1, "num_leaves": 4},
        data,
        num_boost_round=12,
        valid_sets=[data],
        valid_names=["train"],
    )
with mlflow.start_run() as estimator:
    lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(rows, labels, eval_set=[(rows, labels)])
whole = telling.run(native.info.run_id)
loaded = mlflow.lightgbm.load_model(f"models:/{whole['models'][0]['id']}")
telling.tell(
    native=whole,
    estimator=telling.run(estimator.info.run_id),
    same=bool(np.allclose(loaded.predict(rows), booster.predict(rows))),
)
