"""Load tests: requests at a declared rate, and whether the service level objective holds under them."""
