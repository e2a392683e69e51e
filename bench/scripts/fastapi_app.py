"""The usual hand-made server: FastAPI around a scikit-learn model; the model's path is in ``MODEL``."""

import os

import joblib
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

model = joblib.load(os.environ["MODEL"])
app = FastAPI()


class Rows(BaseModel):
    inputs: list[list[float]]


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/predict")
async def predict(rows: Rows) -> dict[str, list[float]]:
    return {"probability": model.predict_proba(np.asarray(rows.inputs))[:, 1].tolist()}
