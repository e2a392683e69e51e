"""Inspect asks cases.json so many times each: url, repeats, calls at once."""

import json
import sys
from pathlib import Path

import inspect_ai
from inspect_ai.dataset import Sample
from inspect_ai.model import get_model
from inspect_ai.scorer import exact, pattern
from inspect_ai.solver import generate

url, repeats, at_once = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cases = json.loads(Path("cases.json").read_text())
task = inspect_ai.Task(
    dataset=[Sample(id=one["id"], input=one["input"], target=str(one["expected"])) for one in cases],
    solver=generate(),
    scorer=[exact(), pattern(r"^(\d+)$")],
    epochs=repeats,
)
model = get_model("openai/stub", base_url=url, api_key="none", responses_api=False)
[log] = inspect_ai.eval(
    task, model=model, max_connections=at_once, max_samples=at_once, log_dir="logs", display="none"
)
assert log.status == "success", log.error
print({score.name: score.metrics["mean" if "mean" in score.metrics else "accuracy"].value
       for score in log.results.scores}, log.results.completed_samples)  # fmt: skip
