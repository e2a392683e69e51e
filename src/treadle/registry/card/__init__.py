"""A version's card: what is known of it, and what its people say of it."""
