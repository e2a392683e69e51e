"""Requests and responses that another server's logger sends apart, paired into the prediction log."""
