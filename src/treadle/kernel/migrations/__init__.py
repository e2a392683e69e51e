"""The numbered changes of the metadata store's schema."""
