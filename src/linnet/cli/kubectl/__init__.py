"""A thin client of the Kubernetes API for machines without kubectl; it knows the commands of the guide."""
