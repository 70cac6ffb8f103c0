"""Situations of a factory's life, played by real parties with real transactions on Bitcoin Core's consensus code.

* ``town``: factories of one LSP on one chain, up to the moment at which all are active.
* ``miner``: which transactions a block takes at which fee rate, and who adds a fee.
* ``lsp_vanishes``: all clients leave, with nothing from the LSP.
"""
