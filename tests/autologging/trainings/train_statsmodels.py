"""A linear model by statsmodels."""

import mlflow
import numpy as np
import statsmodels.api as sm
import telling

mlflow.set_experiment("statsmodels")
mlflow.statsmodels.autolog()
rng = np.random.default_rng(0)
rows = sm.add_constant(rng.normal(size=(100, 2)))
values = rows @ [1.0, 2.0, 3.0] + rng.normal(size=100)
with mlflow.start_run() as run:
    fitted = sm.OLS(values, rows).fit()
whole = telling.run(run.info.run_id)
loaded = mlflow.statsmodels.load_model(f"models:/{whole['models'][0]['id']}")
telling.tell(run=whole, same=bool(np.allclose(loaded.predict(rows), fitted.predict(rows))))
