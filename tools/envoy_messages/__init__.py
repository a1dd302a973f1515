"""What `linnet.envoy` ships, read out of an Envoy binary."""
