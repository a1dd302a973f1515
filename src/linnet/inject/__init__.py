"""Sidecar injection: pod and template become a patch (pure), and its webhook."""
