"""A Kubernetes API server that kubectl believes in, on one SQLite file."""
