#!/usr/bin/env python3
"""An adapter in Python: the reference behind protocol 1. To be read beside the guide, and copied for another node.

    superscalar-ref conform --adapter "python3 examples/adapters/adapter.py"

One JSON object a line comes in; one goes out, with the same ``seq``. Replace ``TableAdapter`` by your own node: it gets
``hello``, ``eval`` (functions), and ``new``, ``given``, ``step`` (one node). Whatever you do not have, answer with
``{"seq": …, "unsupported": {}}``.
"""

import sys

from superscalar_ref.conformance.adapter import TableAdapter, reference_machines, serve

if __name__ == "__main__":
    serve(TableAdapter(reference_machines(), "example in Python"), sys.stdin, sys.stdout)
