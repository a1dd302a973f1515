"""The agent beside Envoy: bootstrap (pure), certificates, readiness, drain."""
