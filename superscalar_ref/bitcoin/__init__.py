"""Transactions, scripts, taproot, locks, weight and fees: bytes, and nothing of the protocol."""
