"""Deleting versions: marked first, restored while what they had is here, then given up to be collected."""
