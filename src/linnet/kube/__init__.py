"""Speak to a Kubernetes API server: client, watch, store, apply, lease."""
