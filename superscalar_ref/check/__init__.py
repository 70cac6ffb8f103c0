"""The checker: exploration, games, proofs for all parameters, variants, traces."""
