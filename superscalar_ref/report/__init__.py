"""What a run found, as pages that a person reads."""
