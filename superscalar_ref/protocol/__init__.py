"""The rules: pure guards and effects over frozen state. No bytes, no I/O, no clock, no randomness."""
