"""Changes of a branch that aren't committed yet, for clients that write object by object."""
