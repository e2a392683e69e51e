"""Remotes: pushing versions to another blob store, fetching them, and verifying them bit for bit."""
