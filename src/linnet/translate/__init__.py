"""What Envoy shall do: model becomes Envoy resources (pure)."""
