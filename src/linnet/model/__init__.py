"""What the mesh is: frozen values, the snapshot, the proxy view."""
