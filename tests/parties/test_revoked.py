"""A revoked commitment of either side, at each depth, before and after a move: who catches it, and what is lost else.

On Bitcoin Core's code. The thief strikes long after: every payment of then has expired, and it knows all preimages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product

import pytest

from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.taproot import tap_leaf
from superscalar_ref.bitcoin.transaction import Transaction, TxInput, TxOutput, build, with_witness
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.parties import tower_messages as t
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_watch import ChannelWatcher
from superscalar_ref.parties.store import Store
from superscalar_ref.parties.tower import Tower
from superscalar_ref.protocol.channel import View
from superscalar_ref.realise.channel import derive_secret
from superscalar_ref.realise.htlc import Direction
from superscalar_ref.realise.second_stage import SecondStage, second_stages
from superscalar_ref.signing.keys import SecretKey
from tests.parties.channel_chain import OWN_COIN, OWN_COINS_OF, Chain, OnChain
from tests.parties.channel_scene import CAPACITY_SAT, CLIENT, DELAY, LSP, key, payout, preimage
from tests.parties.test_channel_chain import ANCHOR_MOST, EXPIRY, knows_of, snapshot
from tests.parties.tower_scene import Sky, copied, tower

KNOWN = knows_of(1, 2, 3, 4)
DEPTHS, WITH_MOVE = range(7), range(8)


@dataclass
class Past:
    """A channel with payments behind it, and what each side's store held before and within each of them."""

    play: OnChain
    copies: dict[str, list[Store]] = field(default_factory=lambda: {CLIENT: [], LSP: []})

    def keep(self) -> None:
        for name, kept in self.copies.items():
            kept.append(snapshot(self.play.pair.stores[name]))

    def side(self, name: str, which: int | None = None) -> ChannelActor:
        """A side as it is now, or from an old copy; on a store of its own."""
        pair = self.play.pair
        store = pair.stores[name] if which is None else self.copies[name][which]
        return ChannelActor(pair.sides[name].terms, pair.sides[name].keys, snapshot(store), pair.limits, answer=KNOWN)


def lived(move: bool) -> Past:
    """Four payments, two each way, of which one stays in flight; with ``move``, a new outpoint after the second."""
    past = Past(OnChain.start(towers={"T": tower()}))
    pair = past.play.pair
    for number in range(1, 5):
        if number != 4:
            past.keep()
        payer, payee = (CLIENT, LSP) if number % 2 else (LSP, CLIENT)
        pair.offer(payer, number * 10_000_000, number, EXPIRY)
        past.keep()
        if number != 3:
            which = pair.sides[payee].channel.htlcs[-1].number
            pair.say(payee, lambda side, n=number, w=which: side.settle(w, preimage(n)))  # type: ignore[misc]
        if move and number == 2:
            pair.say(LSP, lambda side: side.quiesce())
            for name in (LSP, CLIENT):
                pair.say(name, lambda side: side.move(str(past.play.chain.ledger.funds[1])))
            past.keep()
            for name in (LSP, CLIENT):
                pair.say(name, lambda side: side.complete())
    assert pair.a.may_leave() and not pair.alerts
    return past


@pytest.fixture(scope="module")
def pasts() -> dict[bool, Past]:
    return {move: lived(move) for move in (False, True)}


@dataclass
class Theft:
    """A side's old copy that publishes its commitment of then, with the second stage of each payment, in one block."""

    past: Past
    thief: ChannelActor
    ledger: KernelLedger
    towers: dict[str, Tower] = field(default_factory=dict)
    outpoint: int = -1
    """Which of the outpoints that the commitment was signed for is spent."""

    @classmethod
    def of(cls, past: Past, name: str, which: int, away: int = 0, outpoint: int = -1) -> Theft:
        """On a copy of the chain, ``away`` blocks after the last payment has expired."""
        ledger = past.play.chain.ledger.fork()
        ledger.advance(EXPIRY - ledger.height + away)
        return cls(past, past.side(name, which), ledger, outpoint=outpoint)

    @property
    def said(self) -> View:
        assert self.thief.own is not None
        return self.thief.own.said

    @property
    def payments(self) -> int:
        """What is in flight in the old commitment (sat)."""
        return sum(htlc.amount_msat // 1000 for htlc in self.said.htlcs)

    def strike(self, own_inputs: bool) -> list[Transaction]:
        """What the thief publishes; ``own_inputs``: its second stages carry a coin of its own, for fees."""
        place = self.thief.channel.outpoints[self.outpoint]
        stages = second_stages(self.thief.own_commitment(place))
        assert self.thief.own is not None
        theirs = [bytes.fromhex(one) for one in self.thief.own.signatures[place].htlcs]
        ways = list(zip(stages, theirs, strict=True))
        made = [] if own_inputs else [self._alone(*way) for way in ways]
        coin = OWN_COIN, self.ledger.funds[2].txid[::-1].hex(), self.ledger.funds[2].index
        # The other side has signed the lock time too: what waits, and what does not, cannot share a transaction.
        for lock in sorted({stage.transaction.lock_time for stage, _ in ways}) if own_inputs else ():
            made.append(self._joined([way for way in ways if way[0].transaction.lock_time == lock], lock, *coin))
            coin = made[-1].outputs[0].amount_sat, made[-1].txid, 0
        return [self.thief.own_transaction(place), *made]

    def _alone(self, stage: SecondStage, theirs: bytes) -> Transaction:
        return stage.signed(theirs, self._key().sign(stage.holder_sighash), self._preimage(stage))

    def _joined(
        self, ways: list[tuple[SecondStage, bytes]], lock: int, amount: int, txid: str, vout: int
    ) -> Transaction:
        """Second stages behind a coin: output n belongs to input n, and the first ones are the coin and its change."""
        coin = TxOutput(amount, payout(OWN_COINS_OF))
        inputs = [TxInput(txid, vout), *(stage.transaction.inputs[0] for stage, _ in ways)]
        change = TxOutput(amount - 1_000, coin.script_pubkey)
        made = build(3, inputs, [change, *(stage.transaction.outputs[0] for stage, _ in ways)], lock)
        spent = [coin, *(stage.spent for stage, _ in ways)]
        own = key(f"payout of {OWN_COINS_OF}").sign_taproot(taproot_sighash(made, 0, spent), None)
        made = with_witness(made, 0, (own,))
        for number, (stage, theirs) in enumerate(ways, start=1):
            message = taproot_sighash(made, number, spent, leaf_hash=tap_leaf(stage.script))
            made = with_witness(made, number, stage.witness(theirs, self._key().sign(message), self._preimage(stage)))
        return made

    def _key(self) -> SecretKey:
        assert self.thief.own is not None
        return derive_secret(self.thief.keys.secrets.htlc_basepoint, bytes.fromhex(self.thief.own.point))

    @staticmethod
    def _preimage(stage: SecondStage) -> bytes | None:
        table = {htlc: preimage(htlc) for htlc in range(1, 5)}
        if stage.htlc.direction is Direction.OFFERED:
            return None
        return table[stage.htlc.amount_msat // 10_000_000]

    def play(self, own_inputs: bool, tower: int | None = None, wakes: int | None = None) -> dict[str, int]:
        """What each side has at rest in the end (sat).

        So many blocks after the strike the tower, and the victim, look for the first time; None: not at all.
        """
        victim = self.past.side(self.thief.channel.peer)
        eyes = ChannelWatcher(victim, self.ledger)
        hands = ChannelWatcher(self.thief, self.ledger)
        chain = Chain(self.ledger, {"thief": hands, "victim": eyes})
        sky = Sky(self.ledger, {"T": copied(self.past.play.pair.towers["T"])})
        if tower is not None:
            sky.look()
        self.thief.force_close()
        struck = self.strike(own_inputs)
        assert chain.mine(struck) == struck
        for block in range(2 * DELAY + 4):
            if tower is not None and block >= tower:
                sky.look()
            woken = [one for _, one in eyes.look()] if wakes is not None and block >= wakes else []
            # What the thief publishes comes first in each block.
            chain.mine([*(one for _, one in hands.look()), *sky.waiting.values(), *woken])
        return {name: chain.paid(payout(f"{name} in channel")) for name in (CLIENT, LSP)}


ROWS = [
    (cheat, which, move)
    for cheat, move in product((CLIENT, LSP), (False, True))
    for which in (WITH_MOVE if move else DEPTHS)
]
"""Whose commitment, at which depth, and whether the channel has a move in its past."""
OF_THE_LSP = [(which, move) for cheat, which, move in ROWS if cheat == LSP]
LAST = DELAY - 2
"""The last look at which a victim is in time: what the thief publishes comes first in a block."""


def test_the_table_has_every_depth_and_each_is_another_commitment(pasts: dict[bool, Past]) -> None:
    for move, past in pasts.items():
        for cheat in (CLIENT, LSP):
            old = [past.side(cheat, which) for which in range(len(past.copies[cheat]))]
            assert len({side.own_transaction(side.channel.outpoints[-1]).txid for side in old}) == len(old)
            assert [len(side.channel.outpoints) for side in old].count(2) == move
            revoked = past.side(LSP if cheat == CLIENT else CLIENT).channel.revoked
            assert all(side.own is not None and side.own.said.number <= revoked for side in old)


@pytest.mark.parametrize("own_inputs", [False, True])
@pytest.mark.parametrize(("cheat", "which", "move"), ROWS)
def test_the_victim_takes_all_of_it_at_its_last_look(
    pasts: dict[bool, Past], cheat: str, which: int, move: bool, own_inputs: bool
) -> None:
    victim = LSP if cheat == CLIENT else CLIENT
    theft = Theft.of(pasts[move], cheat, which)
    ends = theft.play(own_inputs, wakes=LAST)
    assert ends[cheat] == 0
    assert 0 <= CAPACITY_SAT - ends[victim] <= ANCHOR_MOST


@pytest.mark.parametrize(("cheat", "which", "move"), ROWS)
def test_with_nobody_there_the_old_commitment_pays_what_it_says(
    pasts: dict[bool, Past], cheat: str, which: int, move: bool
) -> None:
    """The third row of the table of what everyone assumes. A look that is too late saves nothing."""
    victim = LSP if cheat == CLIENT else CLIENT
    theft = Theft.of(pasts[move], cheat, which)
    ends = theft.play(own_inputs=False, wakes=LAST + 1)
    assert ends == {cheat: theft.said.to_holder_msat // 1000 + theft.payments, victim: theft.said.to_other_msat // 1000}


@pytest.mark.parametrize("tower", [0, LAST, LAST + 1])
@pytest.mark.parametrize(("which", "move"), OF_THE_LSP)
def test_a_tower_takes_all_of_it_while_its_client_is_away(
    pasts: dict[bool, Past], which: int, move: bool, tower: int
) -> None:
    theft = Theft.of(pasts[move], LSP, which)
    ends = theft.play(own_inputs=False, tower=tower)
    assert ends[LSP] == (0 if tower <= LAST else theft.said.to_holder_msat // 1000 + theft.payments)
    # What pays the client by its own key alone is no tower's: it waits for the client.
    assert (ends[CLIENT] > 0) == (tower <= LAST)


@pytest.mark.parametrize(("wakes", "saved"), [(None, False), (LAST, True), (LAST + 1, False)])
@pytest.mark.parametrize(("which", "move"), OF_THE_LSP)
def test_second_stages_with_the_lsps_own_inputs_are_no_towers_but_the_clients_within_the_delay(
    pasts: dict[bool, Past], which: int, move: bool, wakes: int | None, saved: bool
) -> None:
    """Their txid depends on what the LSP adds: no penalty on them can be finished before."""
    theft = Theft.of(pasts[move], LSP, which)
    ends = theft.play(own_inputs=True, tower=0, wakes=wakes)
    assert ends[LSP] == (0 if saved else theft.payments), "the rest is punished by the tower"


@pytest.mark.parametrize("tower", [0, None])
def test_a_commitment_for_two_outpoints_is_punished_on_the_one_that_was_left(
    pasts: dict[bool, Past], tower: int | None
) -> None:
    """The old leaf is confirmed after the move: the tower keeps the penalties for either outpoint."""
    past = pasts[True]
    (which,) = (one for one in WITH_MOVE if len(past.side(LSP, one).channel.outpoints) == 2)
    theft = Theft.of(past, LSP, which, outpoint=0)
    left = theft.thief.channel.outpoints[0]
    assert left not in past.side(LSP).channel.outpoints
    ends = theft.play(own_inputs=False, tower=tower)
    assert (ends[LSP] == 0) == (tower is not None), "without a tower it pays the thief"


def test_thirty_days_away_with_a_tower(pasts: dict[bool, Past]) -> None:
    assert Theft.of(pasts[True], LSP, 0, away=4_320).play(own_inputs=False, tower=0)[LSP] == 0


@pytest.mark.parametrize(("feerate", "paid"), [(0, 2), (2, 2), (3, 20), (20, 20), (90, 20)])
def test_of_the_penalties_at_several_feerates_the_cheapest_that_suffices_goes_out(
    pasts: dict[bool, Past], feerate: int, paid: int
) -> None:
    theft = Theft.of(pasts[False], LSP, 0)
    one = copied(pasts[False].play.pair.towers["T"])
    one.receive("chain", t.encode(t.Feerate(feerate)))
    theft.ledger.mine([made.serialized for made in theft.strike(own_inputs=False)])
    sky = Sky(theft.ledger, {"T": one})
    sky.look()
    (penalty,) = sky.waiting.values()
    to_local = 600_000
    assert to_local - penalty.outputs[0].amount_sat == paid * penalty.vbytes


def test_the_tower_says_what_was_taken_of_its_client_and_what_its_own_penalty_took(pasts: dict[bool, Past]) -> None:
    theft = Theft.of(pasts[False], LSP, 1)
    sky = Sky(theft.ledger, {"T": copied(pasts[False].play.pair.towers["T"])})
    sky.look()

    def taken(name: str) -> tuple[str, ...]:
        ((_, said),) = sky.towers["T"].receive(name, t.encode(t.AskHealth())).messages
        report = t.decode(said, "T")
        assert isinstance(report, t.HealthReport)
        return report.taken

    assert taken(CLIENT) == ()
    commitment, *stages = theft.strike(own_inputs=True)
    theft.ledger.mine([commitment.serialized, *(one.serialized for one in stages)])
    sky.wait(3)
    (payment,) = theft.said.htlcs
    (vout,) = (n for n, output in enumerate(commitment.outputs) if output.amount_sat == payment.amount_msat // 1000)
    assert taken(CLIENT) == (f"{commitment.txid}:{vout}",), "to_local it has taken itself"
    assert taken("somebody else") == ()
    again = Tower("T", sky.towers["T"].store, sky.towers["T"].depth)
    assert again.taken(CLIENT) == (f"{commitment.txid}:{vout}",)


def test_a_reorg_takes_the_towers_penalty_back_and_it_is_given_again(pasts: dict[bool, Past]) -> None:
    theft = Theft.of(pasts[False], LSP, 0)
    sky = Sky(theft.ledger, {"T": copied(pasts[False].play.pair.towers["T"])})
    (commitment,) = theft.strike(own_inputs=False)
    assert sky.mine([commitment]) == [commitment.txid]
    (penalty,) = sky.mine()
    place = bytes.fromhex(penalty)[::-1]
    sky.ledger.reorg(1)
    sky.waiting.clear()
    assert sky.ledger.confirmation_height(place) is None
    assert sky.mine() == [penalty], "in the next block, from its file and the chain alone"
