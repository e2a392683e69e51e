"""What is asked: Python functions in a process of their own, and HTTP endpoints."""
