"""Deciding what the specification promises: games are solved, ceremonies searched, constraints proven.

How a verdict comes about, from the inside out:

* ``game`` solves one game on the chain exactly (``plain`` is the same in the plainest form, and held equal to it);
  ``arena`` says what a game is played with.
* ``explore`` walks through everything that a party can be brought to sign, by the tables themselves; ``situations``
  turns each scene into games. ``ceremony`` searches the signing sessions, with a crash between any two actions, and
  ``ceremony_loss`` says what a broken one comes to on the chain. ``lives`` searches the lives of a client and an LSP,
  with a crash between any two effects; ``network`` the ceremonies of honest parties (``mail``) whose messages are lost,
  doubled and late. ``htlc`` plays one payment that goes by the chain, against the limits on its expiry.
* ``stock`` and ``paid`` are one leaf that is sold from, updated, poisoned and paid through; ``leaf`` plays each of
  its stops as a game.
* ``configurations`` and ``world`` are the small factories: every lock as tight as the constraints allow.
* ``judge`` decides the properties, ``variants`` the wrong designs, ``reasons`` takes single rules away, ``trace`` tells
  each loss.
* ``proofs`` carries the arithmetic to all parameter values.

What is not shown: one honest party at a time; few updates; fees as an ability and not as a number; no pinning; no
reorgs; no payments in flight in the races of the tree; miners who leave a transaction out no longer than
``confirmation_blocks``.
"""
