"""Envoy's own protobuf messages, in a private descriptor pool."""
