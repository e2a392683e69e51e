"""A small network by Keras 3 on PyTorch."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
import mlflow
import numpy as np
import telling

keras.utils.set_random_seed(0)
mlflow.set_experiment("keras")
rng = np.random.default_rng(0)
rows = rng.normal(size=(128, 3)).astype("float32")
values = rows.sum(axis=1, keepdims=True)
network = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
network.compile(optimizer="adam", loss="mse", metrics=["mae"])
with mlflow.start_run() as run:
    network.fit(
        rows, values, epochs=4, batch_size=32, verbose=0, validation_split=0.25,
        callbacks=[mlflow.keras.MlflowCallback(log_every_epoch=True)],
    )  # fmt: skip
    info = mlflow.keras.log_model(
        network, name="network", signature=mlflow.models.infer_signature(rows, values)
    )
loaded = mlflow.keras.load_model(info.model_uri)
telling.tell(
    run=telling.run(run.info.run_id),
    same=bool(np.allclose(loaded.predict(rows, verbose=0), network.predict(rows, verbose=0), atol=1e-5)),
)
