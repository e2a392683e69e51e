"""Learns whether a flight will arrive more than 15 minutes late, from what is known before departure."""

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import treadle

CATEGORIES = ["carrier", "origin", "dest"]

with treadle.start_run() as run:
    flights = pd.read_parquet(treadle.data("flights"))
    inputs, late = flights[list(run.features)], flights[run.label].astype(bool)

    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    trees = HistGradientBoostingClassifier(early_stopping=False, random_state=run.seed, **run.params)
    model = make_pipeline(make_column_transformer((encode, CATEGORIES), remainder="passthrough"), trees).fit(
        inputs, late
    )

    sample = inputs.sample(4000, random_state=run.seed)
    staged = trees.staged_predict_proba(model[0].transform(sample))
    for step, chances in enumerate(staged, start=1):
        if step % 10 == 0:
            run.log(step=step, train_log_loss=log_loss(late.loc[sample.index], chances[:, 1]))

    run.log_model(model, example=inputs.head(100))
