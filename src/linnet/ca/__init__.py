"""Certificates: issue (pure), authority, rotation, server."""
