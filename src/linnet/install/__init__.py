"""Revisions: values become objects (pure); apply, prune, uninstall."""
