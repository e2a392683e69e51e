"""Reviews: changes of data that are looked at before a branch takes them."""
