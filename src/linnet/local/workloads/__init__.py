"""Programs of the image catalogue: the echo server and the load client."""
