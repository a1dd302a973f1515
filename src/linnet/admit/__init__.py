"""Validation: an object becomes problems (pure), and its webhook."""
