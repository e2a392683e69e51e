from mlflow_parts import tracked  # noqa: F401 - a fixture
