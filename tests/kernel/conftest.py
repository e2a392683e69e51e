from servers import (  # noqa: F401
    azure,
    azure_server,
    full_disk,
    metadata_url,
    postgres_server,
    s3,
    s3_server,
)
from servers import empty_postgres_url as postgres_url  # noqa: F401 - opening it makes the tables
