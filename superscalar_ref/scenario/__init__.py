"""Situations of a factory's life, played by real parties with real transactions on Bitcoin Core's consensus code.

* ``town``: factories of one LSP on one chain, up to the moment at which all are active.
* ``lsp_vanishes``: all clients leave, with nothing from the LSP.
"""
