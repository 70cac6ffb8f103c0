"""One interface to a chain; a model ledger, Bitcoin Core's consensus code, and a node."""
