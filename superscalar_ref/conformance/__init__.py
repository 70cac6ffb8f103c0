"""Vectors and the kit for other implementations."""
