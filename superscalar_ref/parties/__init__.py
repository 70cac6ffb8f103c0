"""The LSP and the clients as sans-I/O actors: messages in; messages, records and transactions out."""
