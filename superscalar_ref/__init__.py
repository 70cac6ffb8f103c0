"""superscalar-ref: the specification of SuperScalar that runs."""

__version__ = "0.1.0"
