from mlflow_parts import tracked  # noqa: F401 - a fixture
from servers import metadata_url, postgres_server, postgres_url  # noqa: F401
