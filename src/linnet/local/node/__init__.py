"""Pods as processes: sandbox, network, volumes, probes, logs, exec."""
