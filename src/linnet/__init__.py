"""Linnet: a service mesh control plane that can be upgraded without fear."""
