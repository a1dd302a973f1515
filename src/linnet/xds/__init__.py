"""Tell Envoy: the xDS protocol as a state machine without I/O, and its gRPC server."""
