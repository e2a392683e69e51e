from servers import (  # noqa: F401
    azure,
    azure_server,
    full_disk,
    metadata_url,
    postgres_server,
    postgres_url,
    s3,
    s3_server,
)
