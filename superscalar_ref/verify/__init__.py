"""The main job: a factory built by real parties, and what becomes of it on Bitcoin Core's consensus code."""
