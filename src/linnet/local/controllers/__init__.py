"""The controllers that a mesh and ordinary Deployments need."""
