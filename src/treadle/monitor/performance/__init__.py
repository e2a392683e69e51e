"""How good a model is over time: before its labels are there, when they are, and how they come."""
