from meanwhile import on_postgres  # noqa: F401
from servers import metadata_url, postgres_server, postgres_url  # noqa: F401
