"""Incidents: alerts that belong together, who looks after them, and telling people until they are told."""
