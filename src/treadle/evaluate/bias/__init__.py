"""Bias checks: rates of each group beside a reference group's, and beside production's. No I/O."""
