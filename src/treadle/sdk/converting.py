"""From a library's model to ONNX: scikit-learn, and what keeps to its interface (XGBoost, LightGBM); PyTorch.

The converted model has one input a column and one output: the probability of both classes, or a value.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from treadle.kernel.errors import InvalidInput, MissingExtra, ModelInvalid
from treadle.registry.types import Field

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# What the converters of trees write; those of scikit-learn choose for themselves.
_OPSETS = {"": 21, "ai.onnx.ml": 3}
_EXTRAS = {"onnxmltools": "trees", "onnxscript": "torch"}


def need(module: str) -> None:
    """Raises MissingExtra if a module that converts models isn't installed."""
    if find_spec(module) is None:
        raise MissingExtra(
            f"a model is logged by way of {module}, which is not installed",
            fix=f"pip install 'treadle[{_EXTRAS.get(module, 'sklearn')}]'",
        )


def refused(model: Any, error: Exception) -> ModelInvalid:
    """What is said when a converter fails."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return ModelInvalid(
        f"the model can't be converted to ONNX: {said}",
        where=type(model).__name__,
        fix="convert it yourself and give run.log_model the path of the .onnx file",
    )


# ── scikit-learn's interface ─────────────────────────────────────────────


def from_sklearn(model: Any, example: Any, fields: Sequence[Field], *, probability: bool) -> bytes:
    """Converts an estimator or a pipeline; its steps may be XGBoost's and LightGBM's estimators.

    Args:
        model: The fitted estimator.
        example: A DataFrame of rows as it takes them.
        fields: Its columns.
        probability: Whether it gives probabilities.

    Raises:
        ModelInvalid: If a converter doesn't know it.
        MissingExtra: If a converter isn't installed.
    """
    need("skl2onnx")
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    trees = _trees_of(model)
    types = {"float": FloatTensorType, "string": StringTensorType}
    whole = _by_columns(model, example)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for library in trees:
                _REGISTER[library]()
            converted = convert_sklearn(
                whole,
                name="model",
                initial_types=[(field.name, types[field.kind]([None, 1])) for field in fields],
                options={id(whole): {"zipmap": False}} if probability else None,
                target_opset=_OPSETS if trees else None,
            )
    except Exception as error:  # the converters' errors share no public base
        raise refused(model, error) from error
    for node in [node for node in converted.graph.output if node.name == "label"]:
        converted.graph.output.remove(node)
    found: bytes = converted.SerializeToString()
    return found


def _by_columns(model: Any, example: Any) -> Any:
    """The model as a pipeline that begins by taking its columns one by one, as ONNX will give them."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    if isinstance(model, Pipeline) and isinstance(model.steps[0][1], ColumnTransformer):
        return model
    take = ColumnTransformer([("columns", "passthrough", list(example.columns))])
    return Pipeline([("columns", take.fit(example)), ("model", model)])


def _trees_of(model: Any) -> list[str]:
    """The libraries of trees that a model, or a part of it, comes from."""
    parts = [model, *model.get_params(deep=True).values()] if hasattr(model, "get_params") else [model]
    found = {type(part).__module__.partition(".")[0] for part in parts} & _REGISTER.keys()
    if found:
        need("onnxmltools")
    return sorted(found)


def _register_lightgbm() -> None:
    from lightgbm import LGBMClassifier, LGBMRegressor
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    _register("LightGbm", LGBMClassifier, LGBMRegressor, convert_lightgbm, {"split": None})


def _register_xgboost() -> None:
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from xgboost import XGBClassifier, XGBRegressor

    def convert(scope: Any, operator: Any, container: Any) -> None:
        # The converter reads a feature's place from its name, and expects a threshold in every split.
        operator.raw_operator = copy.deepcopy(operator.raw_operator)
        booster = operator.raw_operator.get_booster()
        booster.feature_names = booster.feature_types = None
        convert_xgboost(scope, operator, container)

    _register("XGBoost", XGBClassifier, XGBRegressor, convert, None)


def _register(prefix: str, classifier: type, regressor: type, convert: Any, more: Any) -> None:
    """Tells skl2onnx how estimators of a library are converted; see its documentation of converters."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator as shapes

    update_registered_converter(
        classifier,
        f"{prefix}{classifier.__name__}",
        shapes.calculate_linear_classifier_output_shapes,
        convert,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    update_registered_converter(
        regressor,
        f"{prefix}{regressor.__name__}",
        shapes.calculate_linear_regressor_output_shapes,
        convert,
        options=more,
    )


_REGISTER = {"lightgbm": _register_lightgbm, "xgboost": _register_xgboost}


# ── PyTorch ──────────────────────────────────────────────────────────────


def is_module(model: Any) -> bool:
    """Whether it is a PyTorch module; imports nothing."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def from_module(
    module: Any, columns: Mapping[str, list[Any]], fields: Sequence[Field]
) -> tuple[bytes, npt.NDArray[np.float64]]:
    """Exports a module that takes all columns as one tensor of 32-bit floats, [N, columns].

    Args:
        module: The module. It is exported as it is for inference, in ``eval()``.
        columns: The example.
        fields: Its columns, in the order in which the module has them.

    Returns:
        The ONNX model, and what the module itself answers to the example.

    Raises:
        ModelInvalid: If the module fails on the example or can't be exported.
        InvalidInput: If a column isn't one of numbers.
        MissingExtra: If the exporter isn't installed.
    """
    need("onnxscript")
    import torch

    for field in fields:
        if field.kind != "float":
            raise InvalidInput(
                "a PyTorch module takes numbers only",
                where=f"column {field.name!r} of the example",
                fix="encode it before, or export the whole to ONNX yourself",
            )
    nan = float("nan")
    tensors = tuple(
        torch.tensor([nan if v is None else float(v) for v in columns[field.name]]).reshape(-1, 1)
        for field in fields
    )
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            answers = _asked(module, torch.cat(tensors, 1))
            return _exported(module, [field.name for field in fields], tensors), answers
    finally:
        module.train(training)


def _asked(module: Any, rows: Any) -> npt.NDArray[np.float64]:
    import numpy as np

    try:
        found = module(rows)
        return np.asarray(found.detach().cpu().numpy(), np.float64)
    except Exception as error:  # whatever a module raises
        raise ModelInvalid(
            f"the model fails on its own example: {str(error).strip().splitlines()[0][:300]}",
            where=type(module).__name__,
            fix="give rows with as many columns of numbers as its first layer takes, in their order",
        ) from error


def _exported(module: Any, names: list[str], tensors: tuple[Any, ...]) -> bytes:
    import logging

    import torch

    class ByColumn(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        """Takes the columns one by one, as requests have them."""

        def __init__(self) -> None:
            super().__init__()
            self.whole = module

        def forward(self, *columns: Any) -> Any:
            return self.whole(torch.cat(columns, 1))

    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of every package that it would know more operators with
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                ByColumn().eval(),
                tensors,
                input_names=names,
                output_names=["prediction"],
                dynamic_shapes={"columns": tuple({0: "N"} for _ in names)},
                dynamo=True,
                verbose=False,
            )
        found: bytes = program.model_proto.SerializeToString()
    except Exception as error:  # the exporter's errors share no public base
        raise refused(module, error) from error
    finally:
        log.setLevel(level)
    return found
