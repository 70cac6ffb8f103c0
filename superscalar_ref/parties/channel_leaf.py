"""A channel in a leaf: it begins with the first commitments that the leaf's own ceremony has signed.

Laws of this module:

* Nothing is signed here. Number 0 is the ceremony's, on both sides: a second commitment of that number, under other
  points, would be one that nobody can ever revoke. Whether the channel may begin is for its table to say (CHN-71).
* A side that does not hold its first commitment complete and durable cannot open (D-16). No confirmation is waited for.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from superscalar_ref.errors import InputError
from superscalar_ref.machine.step import BoundMachine, chosen, step
from superscalar_ref.machine.types import Event
from superscalar_ref.parties import messages as m
from superscalar_ref.parties.actor import Actor
from superscalar_ref.parties.channel_actor import ChannelActor, Saved, channel_machine
from superscalar_ref.parties.channel_state import (
    ChannelKeys,
    ChannelTerms,
    HeldSignature,
    OwnCommitment,
    SideTerms,
    TheirCommitment,
)
from superscalar_ref.parties.store import Store
from superscalar_ref.protocol.blueprint import commitment_name
from superscalar_ref.protocol.chain_links import Sale
from superscalar_ref.protocol.channel import Channel, View
from superscalar_ref.protocol.htlc_limits import HtlcLimits
from superscalar_ref.protocol.shape import NodeKind
from superscalar_ref.protocol.transaction import Kind
from superscalar_ref.realise.commitment import Commitment
from superscalar_ref.signing.keys import SecretKey


def first_commitments(actor: Actor, client: str, label: str) -> tuple[str, Commitment, str, Commitment]:
    """The names and bytes of both sides' first commitments in a version, or a sale: this party's own, then the other's.

    Raises ``InputError`` when this party knows no such channel.
    """
    archive = actor.factory
    lsp = archive.terms.lsp
    if label not in archive.blueprints:
        raise InputError(actor.name, f"knows no version '{label}'", "CHN-4")
    sale = _sale(actor, label)
    versions = archive.blueprints[label].versions
    nodes = archive.terms.tree.path_to(client) if sale is None else ()
    path = tuple(versions[node.path] for node in nodes if node.kind is not NodeKind.STATIC)
    found = []
    for holder in (actor.name, lsp if actor.name == client else client):
        name = commitment_name(client, path, holder) if sale is None else sale.commitment(holder)
        realised = archive.realised.get(name)
        if realised is None or realised.commitment is None:
            raise InputError(actor.name, f"knows no '{name}'", "CHN-4")
        found.append((name, realised.commitment))
    return *found[0], *found[1]


def _sale(actor: Actor, label: str) -> Sale | None:
    return next((sold.sale for sold in actor.factory.record.sales if sold.label == label), None)


def standing_first(actor: Actor, client: str, label: str) -> str:
    """The other side's first commitment in another version than ``label`` that this party has signed; empty for none.

    It pays by the balances of its time, whatever is paid over the channel later. A sale's channel has no other version.
    """
    if _sale(actor, label) is not None:
        return ""
    archive, records = actor.factory, actor.party.signer.records
    lsp = archive.terms.lsp
    own = archive.blueprints[label].templates
    for name, realised in archive.realised.items():
        template = realised.template
        if template.kind is not Kind.COMMITMENT or template.holder != (lsp if actor.name == client else client):
            continue
        spent = template.spends[0].outpoint
        if archive.templates[spent.transaction].kind is Kind.SALE or name in own:
            continue
        of_client = archive.templates[spent.transaction].outputs[spent.index].owner == client
        if of_client and (str(spent), template.slot, realised.sighash.hex()) in records:
            return name
    return ""


def begins(actor: Actor, client: str, label: str) -> bool:
    """Whether the table lets a channel begin now with the first commitments of a version (CHN-71)."""
    own_name, *_ = first_commitments(actor, client, label)
    lsp = actor.factory.terms.lsp
    waiting = Channel("opening", actor.name, lsp if actor.name == client else client, 0, 0)
    return chosen(channel_machine(), waiting, _take_over_event(actor, client, label, own_name)) is not None


def _take_over_event(actor: Actor, client: str, label: str, own_name: str) -> Event:
    standing = bool(standing_first(actor, client, label))
    return Event.of("take_over", actor.name, complete=own_name in actor.signatures, standing=standing)


def channel_name(actor: Actor, client: str, label: str = "") -> str:
    """The name of a client's channel in its leaf, or of the one that it bought by a sale: the same on both sides.

    It stays whatever becomes of the leaf.
    """
    name = f"{actor.factory.record.terms.factory}/{client}"
    return name if _sale(actor, label) is None else f"{name}/{label}"


def leaf_terms(actor: Actor, client: str, label: str, lsp_reserve_sat: int, close_fee_sat: int) -> ChannelTerms:
    """The terms of a client's channel in a version of its leaf, or of one that it bought, as this party has them.

    Raises ``InputError`` when it knows no such channel.
    """
    _, mine, _, theirs = first_commitments(actor, client, label)
    archive = actor.factory
    lsp = archive.terms.lsp
    other = lsp if actor.name == client else client
    sides = [
        SideTerms(
            who,
            archive.book.party(who).factory_key,
            commitment.terms.holder,
            commitment.terms.to_self_delay,
            commitment.terms.dust_limit_sat,
            archive.book.party(who).payout_script,
            lsp_reserve_sat * 1000 if who == lsp else 0,
        )
        for who, commitment in ((actor.name, mine), (other, theirs))
    ]
    return ChannelTerms(
        channel_name(actor, client, label),
        mine.terms.capacity_sat,
        f"{mine.terms.funding_txid}:{mine.terms.funding_vout}",
        sides[0],
        sides[1],
        actor.name == lsp,
        mine.state.to_local_msat,
        close_fee_sat,
    )


def open_in_leaf(
    actor: Actor,
    client: str,
    label: str,
    store: Store,
    limits: HtlcLimits,
    *,
    depth: int,
    lsp_reserve_sat: int = 0,
    close_fee_sat: int = 0,
    machine: BoundMachine[Channel] | None = None,
) -> ChannelActor:
    """Take a leaf's channel up from the ceremony's first commitments; from where it stands when ``store`` holds it.

    ``label`` is of a version, for its own channel, or of a sale, for the one that it bought (D-8); of which version
    does not matter when ``store`` holds it. Raises ``Refused`` when the table does not let it begin (CHN-71).
    """
    place = f"channel/{channel_name(actor, client, label)}"
    label = store.document(f"{place}/label") or label
    terms = leaf_terms(actor, client, label, lsp_reserve_sat, close_fee_sat)
    keys = ChannelKeys(actor.key, actor.identity.channel(client))
    if store.document(f"{place}/state") is None:
        _take_over(actor, client, label, store, terms, depth, machine or channel_machine())
    towers = tuple(actor.party.towers)
    opened = ChannelActor(
        terms, keys, store, limits, depth=depth, randomness=actor.randomness, towers=towers, machine=machine
    )
    opened.height = actor.height
    return opened


def _take_over(
    actor: Actor, client: str, label: str, store: Store, terms: ChannelTerms, depth: int, machine: BoundMachine[Channel]
) -> None:
    """Let the table take the first commitments for the channel's number 0, durable at once. Raises ``Refused``."""
    own_name, own, _, theirs = first_commitments(actor, client, label)
    waiting = Channel(
        "opening",
        terms.mine.name,
        terms.theirs.name,
        terms.capacity_sat * 1000,
        terms.balance_msat,
        reserve_msat=terms.mine.reserve_msat,
        peer_reserve_msat=terms.theirs.reserve_msat,
        outpoints=(terms.outpoint,),
        depth=depth,
    )
    stepped = step(machine, waiting, _take_over_event(actor, client, label, own_name))
    place = f"channel/{terms.name}"
    store.put_document(f"{place}/label", label)
    for action in stepped.actions:
        if action.name == "firsts":
            _keep_firsts(actor, store, terms, (own_name, own), theirs)
        else:
            store.put_document(f"{place}/state", m.text_of(Saved(stepped.context, {}, {})))
    store.commit()


def _keep_firsts(
    actor: Actor, store: Store, terms: ChannelTerms, first: tuple[str, Commitment], theirs: Commitment
) -> None:
    """Write what each side's first commitment says, this side's signature and secret, and what it has signed (D-7)."""
    own_name, own = first
    signature = actor.signatures[own_name]
    own.signed(signature)
    point = own.state.per_commitment_point
    client = terms.theirs.name if terms.i_opened else terms.mine.name
    purses = (actor.commitment_secrets.get(name, []) for name in (client, f"{client}/sale"))
    secret = next(
        (one for one in chain.from_iterable(purses) if SecretKey(bytes.fromhex(one)).public == point),
        None,
    )
    if secret is None:
        raise InputError(actor.name, f"has no secret for the point of '{own_name}'", "D-14")
    balance = terms.balance_msat
    said = View(0, balance, terms.capacity_sat * 1000 - balance, ())
    held = OwnCommitment(said, point.hex(), {terms.outpoint: HeldSignature(signature.hex(), ())})
    signed = replace(said, to_holder_msat=said.to_other_msat, to_other_msat=said.to_holder_msat)
    place = f"channel/{terms.name}"
    store.put_document(f"{place}/mine", m.text_of(held))
    store.put_document(f"{place}/secret/0", m.text_of(secret))
    their_point = theirs.state.per_commitment_point.hex()
    store.put_document(f"{place}/theirs/0", m.text_of(TheirCommitment(signed, their_point, (terms.outpoint,))))
    store.put_record((terms.outpoint, f"commitment {terms.theirs.name} 0", theirs.sighash.hex()))
