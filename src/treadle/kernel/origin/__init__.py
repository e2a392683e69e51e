"""Where a program comes from and what it runs on: code, packages, machine. Nothing here raises."""
