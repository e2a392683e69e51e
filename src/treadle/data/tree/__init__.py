"""Trees: the sorted paths of a version, cut into pages that versions share."""
