"""Verdicts on a system's behaviour. No I/O."""
