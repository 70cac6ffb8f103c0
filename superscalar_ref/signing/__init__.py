"""Keys, Schnorr signatures, MuSig2 sessions and nonces."""
