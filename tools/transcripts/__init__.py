"""Replays recorded kubectl sessions against a cluster and compares what it prints."""
