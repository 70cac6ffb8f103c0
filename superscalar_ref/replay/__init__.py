"""Traces of the checker, played again as real transactions on Bitcoin Core's consensus code."""
