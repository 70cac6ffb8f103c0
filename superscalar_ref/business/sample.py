"""Some factories again, for real: signed by an LSP and all clients, brought on chain, judged by Core's consensus code.

Laws of this module:

* A sampled factory has the size and the absent clients of one that the lots gave; if the lots gave none, one client is
  absent.
* ``whole``: the LSP's own watcher decides what is published. ``paths``: the paths are the LSP's kit; what the departed
  have left is signed with the keys that they handed over.
* Agreement is exact: names, blocks, sizes, and the amounts at rest, to the satoshi.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from superscalar_ref.bitcoin.script import P2A
from superscalar_ref.bitcoin.transaction import Transaction
from superscalar_ref.business.assume import Assumptions
from superscalar_ref.business.cohort import WHOLE, Cohort, Step, Total, profile, total
from superscalar_ref.business.days import Drawn, Ladders
from superscalar_ref.parties.watch import Watcher, txid_bytes
from superscalar_ref.protocol.transaction import Kind, Output, Role, Spend, Template
from superscalar_ref.realise.build import sign_one
from superscalar_ref.realise.tree import realise_one
from superscalar_ref.scenario.town import LSP, Progress, Town, build_town, payout_script


@dataclass(frozen=True)
class Sampled:
    """One factory, in numbers and on the chain."""

    born: int
    """Day on which it was funded."""
    size: int
    absent: tuple[int, ...]
    how: str
    counted: Total
    """By the formulas, at the fees that are signed in: the kernel asks for no price."""
    mined: Total
    problems: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the chain took everything, and what it holds is what was counted."""
        return not self.problems and self.counted == self.mined


def sample(given: Assumptions, number: int, progress: Progress = lambda what, done, of: None) -> Iterator[Sampled]:
    """``number`` factories drawn by lot. Raises ``ChainError`` when Core's code refuses one of their transactions."""
    lots = random.Random(f"{given.seed}/sample")
    ladders, drawn = Ladders.start(given), Drawn(given)
    for done in range(number):
        progress("sampled factories", done, number)
        born, ladder = lots.randrange(given.days), lots.randrange(given.ladders)
        size = ladders.size(born, ladder)
        absent = drawn(born, ladder, size).absent or (lots.randrange(size),)
        yield _played(given, born, size, absent, done)
    progress("sampled factories", number, number)


def _played(given: Assumptions, born: int, size: int, absent: tuple[int, ...], number: int) -> Sampled:
    cohort = Cohort(given.plan, given.pace, size)
    steps = cohort.published(absent, given.how)
    town = build_town(replace(given.plan, factories=1, clients=size, reserve_every=0))
    base, problems = town.ledger.height, list[str]()
    lsp = town.factories[0].lsp
    watcher = Watcher(lsp, town.ledger, deadline=base)
    mined: list[tuple[Step, Transaction]] = []
    for after in sorted({one.after for one in steps}):
        town.ledger.advance(base + after - 1 - town.ledger.height)
        due = [one for one in steps if one.after == after]
        if given.how == WHOLE:
            watcher.look()
            published = watcher.publish()
            if set(published) != {one.name for one in due}:
                problems.append(f"block {after}: the LSP publishes {len(published)} transactions, not {len(due)}")
            made = [(one, published[one.name]) for one in due if one.name in published]
        else:
            made = [(one, _complete(town, one)) for one in due]
        town.ledger.mine([transaction.serialized for _, transaction in made])
        mined += made
    problems += [
        f"{one.name} has {transaction.vbytes} vbytes, not {one.vbytes}"
        for one, transaction in mined
        if one.vbytes != transaction.vbytes
    ]
    counted = total(profile(steps, 0))
    return Sampled(born, size, absent, given.how, counted, _rest(town, cohort, mined), tuple(problems))


def _complete(town: Town, step: Step) -> Transaction:
    """A transaction of the LSP's kit, or one by which it takes what all clients of an output have left."""
    factory = town.factories[0]
    lsp = factory.lsp
    if not step.name.startswith("take:"):
        return lsp.complete_transaction(step.name)
    parent, _, index = step.name.removeprefix("take:").rpartition("#")
    point = lsp.factory.templates[parent].outpoint(int(index))
    signers = lsp.factory.templates[parent].outputs[int(index)].signers
    output = Output(Role.WALLET, step.to_lsp, frozenset({LSP}), owner=LSP)
    template = Template(step.name, Kind.CLOSE, (Spend(point),), (output,), signers, fee=step.fee)
    realised = realise_one(template, lsp.factory.book, lsp.factory.realised, lsp.factory.terms)
    return sign_one(realised, {LSP: lsp.key, **{name: one.key for name, one in factory.clients.items()}})


def _rest(town: Town, cohort: Cohort, mined: list[tuple[Step, Transaction]]) -> Total:
    """What the chain holds after them: at the LSP's script, in anchors, at the clients'; the rest was paid as fees."""
    made = {txid_bytes(transaction.txid) for _, transaction in mined}
    held: Counter[bytes] = Counter()
    for point, one in town.ledger.unspent().items():
        if point.txid in made:
            held[one.output.script] += one.output.amount
    lsp, anchors = held.pop(payout_script(LSP), 0), held.pop(P2A, 0)
    clients = held.total()
    vbytes = sum(transaction.vbytes for _, transaction in mined)
    return Total(len(made), vbytes, cohort.funding - lsp - anchors - clients, clients, lsp, anchors)
