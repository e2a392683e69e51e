"""Runs and versions as events of OpenLineage, delivered to whoever collects lineage."""
