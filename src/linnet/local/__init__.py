"""The embedded one-machine cluster: an API server, controllers and a node."""
