"""Checks of systems that don't always answer alike: cases are asked several times, and judged as clusters."""
