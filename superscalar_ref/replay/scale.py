"""From the game's numbers to those of a chain: units become satoshis, blocks become more blocks.

Laws of this module:

* Every relative lock is multiplied by ``blocks``; every height ``h`` becomes ``start + h × blocks``, where ``start``
  is the height of the funding transaction's block. So an order of events that the locks allow in the game is one that
  they allow on the chain, and one that they forbid is forbidden.
* A commitment has the anchor of its format, worth nothing here: fees are an ability in the game, not a number (D-13).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from superscalar_ref.errors import InputError
from superscalar_ref.protocol.transaction import Kind, LockKind, LockPath, Output, Role, Spend, Template

UNIT_SAT = 100_000
"""Satoshis in a unit of the checker."""
MOST_BLOCKS = 20_000
"""The longest chain that is mined in a replay (blocks)."""


@dataclass(frozen=True)
class Scale:
    """How far apart things are on the chain."""

    blocks: int
    """Blocks for each block of the game; at least 1."""
    start: int
    """Height of the funding transaction's block: height 0 of the game."""

    def height(self, game: int) -> int:
        """The height on the chain of a height of the game."""
        return self.start + game * self.blocks

    def template(self, template: Template) -> Template:
        """The template in satoshis and blocks of the chain."""
        outputs = tuple(self._output(output) for output in template.outputs)
        if template.kind is Kind.COMMITMENT:
            outputs = (*outputs, Output(Role.ANCHOR, 0, frozenset()))
        return replace(
            template,
            spends=tuple(self._spend(spend) for spend in template.spends),
            outputs=outputs,
            lock_time=self.height(template.lock_time) if template.lock_time else 0,
            fee=template.fee * UNIT_SAT,
        )

    def _spend(self, spend: Spend) -> Spend:
        lock = spend.relative_lock
        return replace(spend, relative_lock=None if lock is None else lock * self.blocks)

    def _output(self, output: Output) -> Output:
        path = output.lock_path
        return replace(output, amount=output.amount * UNIT_SAT, lock_path=None if path is None else self._path(path))

    def _path(self, path: LockPath) -> LockPath:
        blocks = path.blocks * self.blocks if path.kind is LockKind.CSV else self.height(path.blocks)
        return replace(path, blocks=blocks)


def check_length(rounds: int, blocks: int) -> None:
    """Raise ``InputError`` when a replay of so many rounds would take more than ``MOST_BLOCKS`` blocks."""
    if blocks < 1:
        raise InputError("--scale", "must be at least 1", "scale")
    if rounds * blocks > MOST_BLOCKS:
        problem = f"{rounds} blocks of the game would be {rounds * blocks:,} blocks, more than {MOST_BLOCKS:,}"
        raise InputError("--scale", problem, "scale")
