"""What API servers hold: typed, immutable Kubernetes and Istio objects."""
