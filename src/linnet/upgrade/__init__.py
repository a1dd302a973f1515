"""Upgrades: what was observed becomes the next step."""
