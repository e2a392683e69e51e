"""Treadle beside its peers: the same work, in one run, on one machine. Run ``python -m bench``."""
