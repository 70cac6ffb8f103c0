"""Mutation of the tables: every single fault of a copy of ``spec/``, and who notices it.

A fault that nothing notices is a useless rule or a missing property or test; one that changes nothing that anybody
could see is argued in ``spec/survivors.toml``.
"""
