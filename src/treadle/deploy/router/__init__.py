"""The router: one address before several replicas, and a second try where the first one's replica died."""
