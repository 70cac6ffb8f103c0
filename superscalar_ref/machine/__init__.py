"""A table becomes a pure step, a strict transitions machine, and diagrams."""
