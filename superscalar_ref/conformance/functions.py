"""Layer L0: pure functions that an implementation is asked for by name, and what the reference says.

Laws of this module:

* Arguments and results are JSON: hex in lower case, whole numbers, txids in RPC order. Each function's arguments are
  one
  dataclass, from which the schema is made.
* What a function refuses has a code of ``CODES``; words are never compared. Arguments of the wrong form are no refusal:
  they raise InputError, and the kit is at fault.
* Nothing is computed here that the rest of the package does not compute: these are doors.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import msgspec

from superscalar_ref.bitcoin import locks
from superscalar_ref.bitcoin.script import P2A, cltv_leaf, csv_leaf
from superscalar_ref.bitcoin.sighash import SigHash, taproot_sighash
from superscalar_ref.bitcoin.taproot import ScriptTree, output_key, p2tr_script, tagged_hash, tap_leaf, tap_tweak
from superscalar_ref.bitcoin.transaction import TxInput, TxOutput, from_hex
from superscalar_ref.bitcoin.transaction import build as build_transaction
from superscalar_ref.errors import InputError, ProtocolError, SigningError
from superscalar_ref.parties import binary, tlv
from superscalar_ref.parties.messages import TermsForm
from superscalar_ref.parties.terms import book_of, terms_of
from superscalar_ref.protocol import htlc_limits, plan
from superscalar_ref.protocol.blueprint import LeafContents
from superscalar_ref.protocol.blueprint import build as blueprint_of
from superscalar_ref.protocol.fees import Paid as PaidFee
from superscalar_ref.protocol.fees import child_fee, reserve_needed
from superscalar_ref.protocol.odometer import Odometer, relative_lock
from superscalar_ref.protocol.shape import Shape, Tree, grow
from superscalar_ref.protocol.strategy import Strategy, View, decide, load_strategy
from superscalar_ref.protocol.transaction import Kind, Outpoint, Spend, Template
from superscalar_ref.realise import commitment as bolt
from superscalar_ref.realise.channel import ChannelPoints
from superscalar_ref.realise.child import change_of
from superscalar_ref.realise.htlc import Direction, Htlc
from superscalar_ref.realise.tree import realise
from superscalar_ref.signing import musig, nonces
from superscalar_ref.signing.keys import SecretKey, verify
from superscalar_ref.spec.load import load_parameters

CODES: Mapping[str, str] = {
    "BAD_STEP": "a step of less than one block",
    "BAD_INDEX": "a state that the node does not have",
    "LOCK_TOO_LONG": "a relative lock that does not fit BIP-68's 16 bits",
    "BAD_LOCK": "a lock in a script or transaction that is zero, or out of its range",
    "NO_COUNTER": "a node without a counter",
    "COUNTER_EXHAUSTED": "a counter that is at its end",
    "ODOMETER_EXHAUSTED": "no counter on the path has an index left",
    "BAD_SHAPE": "a shape or a list of clients that no tree can be grown from",
    "TOO_LARGE": "a transaction that version 3 relay does not carry (BIP-431)",
    "EXIT_TOO_LONG": "a worst-case exit, with its margin, over the ceiling",
    "BAD_KEY": "bytes that are no public key, or keys that cancel out",
    "BAD_LENGTH": "bytes of the wrong length",
    "BAD_TRANSACTION": "no transaction, or one that no node accepts",
    "BAD_SIGHASH": "an input, a spent output, a hash type or an output that is not there",
    "BAD_COMMITMENT": "balances, numbers or HTLCs that no commitment can have",
    "BAD_NONCE": "a nonce that is not two points",
    "FACTORY_TOO_OLD": "no expiry is accepted any more",
    "EXPIRY_TOO_SOON": "an expiry before an exit and its margin are over",
    "EXPIRY_TOO_LATE": "an expiry too near the factory's end",
    "BAD_TERMS": "terms that contradict one another, or choose a design that there is not",
    "BAD_CONTENTS": "contents that are not those of the tree's leaves",
    "DUST": "an output below the dust limit, or an amount that cannot pay its fee",
    "FUNDING_NOT_COVERED": "coins that do not cover the funding output and its fee",
    "BAD_PARAMETER": "a name that is no parameter, or a value out of its range",
    "BAD_VIEW": "a view of the chain that contradicts itself",
    "NOT_MINIMAL": "a number in more bytes than it needs",
    "NOT_ASCENDING": "values or keys that do not ascend, or stand twice",
    "TRUNCATED": "bytes that end inside a value",
    "UNKNOWN_TYPE": "an even number of a message or field that there is not",
    "BAD_FIELD": "a field that is missing, or not of its form",
    "BAD_MESSAGE": "no message in JSON: an unknown name, a field missing or unknown, a value of another type",
    "COIN_TOO_SMALL": "a coin that does not pay a fee and leave an output above the dust limit",
    "DELTA_TOO_SMALL": "an incoming expiry too near the outgoing one",
}
"""The refusal codes of layer L0, in words."""

_CODE_OF_RULE = {
    "R-SHAPE": "BAD_SHAPE",
    "R-TRUC-SIZE": "TOO_LARGE",
    "R-KEYS": "BAD_KEY",
    "R-TERMS": "BAD_TERMS",
    "R-LEAF-CONTENTS": "BAD_CONTENTS",
    "R-DUST": "DUST",
    "R-FUNDING-COVERED": "FUNDING_NOT_COVERED",
    "R-ODOMETER": "BAD_INDEX",
    "R-LOCK-16-BIT": "LOCK_TOO_LONG",
    "R-EXIT-CEILING": "EXIT_TOO_LONG",
    "R-FEE": "COIN_TOO_SMALL",
    "R-TLV-MINIMAL": "NOT_MINIMAL",
    "R-TLV-ORDER": "NOT_ASCENDING",
    "R-TLV-LENGTH": "TRUNCATED",
    "R-TLV-EVEN": "UNKNOWN_TYPE",
    "R-TLV-FIELD": "BAD_FIELD",
    "R-MESSAGE-FORM": "BAD_MESSAGE",
    "message-form": "BAD_MESSAGE",
    "BIP-68: 16 bits": "LOCK_TOO_LONG",
    "BIP-112": "BAD_LOCK",
    "BIP-65": "BAD_LOCK",
    "nLockTime": "BAD_LOCK",
    "BIP-342: x-only keys": "BAD_LENGTH",
    "BIP-341: all of them": "BAD_SIGHASH",
    "BIP-327: plain public key": "BAD_KEY",
    "BIP-327: plain public keys": "BAD_KEY",
}


class Rejected(Exception):
    """A function refuses its arguments. ``code`` is one of ``CODES``."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


@dataclass(frozen=True)
class Function:
    """One function of layer L0."""

    name: str
    says: str
    arguments: type[Any]
    run: Callable[[Any], dict[str, Any]]
    otherwise: str
    """The code of a refusal that has none of its own."""


FUNCTIONS: dict[str, Function] = {}


def _function(name: str, arguments: type[Any], otherwise: str) -> Callable[[Callable[[Any], dict[str, Any]]], Any]:
    def register(run: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
        FUNCTIONS[name] = Function(name, (run.__doc__ or "").strip(), arguments, run, otherwise)
        return run

    return register


def evaluate(name: str, arguments: object, place: str = "eval") -> dict[str, Any]:
    """The result of a function. Raises Rejected, and InputError for an unknown function or a wrong form."""
    function = FUNCTIONS.get(name)
    if function is None:
        raise InputError(place, f"there is no function '{name}'", "fn")
    try:
        given = msgspec.convert(arguments, function.arguments, strict=True)
    except msgspec.ValidationError as error:
        raise InputError(place, f"{name}: {error}", "args") from error
    try:
        return function.run(given)
    except Rejected:
        raise
    except ProtocolError as error:
        raise Rejected(error.code, error.detail) from error
    except SigningError as error:
        raise Rejected(function.otherwise, error.problem) from error
    except InputError as error:
        if error.rule == "hex":
            raise
        raise Rejected(_CODE_OF_RULE.get(error.rule, function.otherwise), str(error)) from error


def schema() -> dict[str, Any]:
    """The JSON Schema of every function's arguments, by name."""
    types = [function.arguments for function in FUNCTIONS.values()]
    references, components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Arguments of the functions of layer L0",
        "description": "For each function: what it does, and the form of its arguments. Bytes are lower-case hex.",
        "functions": {
            function.name: {"description": function.says, "arguments": reference}
            for function, reference in zip(FUNCTIONS.values(), references, strict=True)
        },
        "$defs": json.loads(json.dumps(components)),
    }


def octets(text: str, place: str, length: int | None = None) -> bytes:
    """Bytes from lower-case hex. Raises InputError for no hex, Rejected (BAD_LENGTH) for another length."""
    if len(text) % 2 or any(letter not in "0123456789abcdef" for letter in text):
        raise InputError(place, "is not lower-case hex", "hex")
    if length is not None and len(text) != 2 * length:
        raise Rejected("BAD_LENGTH", f"{place}: {len(text) // 2} bytes instead of {length}")
    return bytes.fromhex(text)


# -- shapes, odometers, times ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StateOfNode:
    """``step_blocks`` blocks between two states, ``states`` states a node, ``index`` 0 for the oldest."""

    step_blocks: int
    states: int
    index: int


@_function("dw.nsequence", StateOfNode, "BAD_INDEX")
def _nsequence(given: StateOfNode) -> dict[str, Any]:
    """The relative lock of a state: step × (states − 1 − index) blocks, and the nSequence that carries it."""
    lock = relative_lock(given.step_blocks, given.states, given.index)
    return {"blocks": lock, "nsequence": locks.relative_lock_sequence(lock)}


@dataclass(frozen=True)
class ShapeForm:
    """Arities, root first; how many levels at the top are static; the leaf's k; the clients in their order."""

    arities: list[int]
    clients: list[str]
    static: int = 0
    leaf_k: int = 1

    def tree(self) -> Tree:
        """The tree that grows from it."""
        return grow(Shape.of(self.arities, self.static, self.leaf_k), self.clients)


@_function("tree.shape", ShapeForm, "BAD_SHAPE")
def _shape(given: ShapeForm) -> dict[str, Any]:
    """The nodes of a tree, parents before children: path, kind, clients, and who shares each stock output."""
    tree = given.tree()
    return {
        "nodes": [
            {
                "path": node.path,
                "kind": str(node.kind),
                "clients": list(node.clients),
                "stock_groups": [list(group) for group in tree.stock_groups(node)] if not node.children else [],
            }
            for node in tree.nodes()
        ]
    }


@dataclass(frozen=True)
class ExitForm(ShapeForm):
    """A shape with its locks and limits, in blocks."""

    step_blocks: int = 144
    states: int = 4
    ceiling_blocks: int = 2016
    margin_blocks: int = 0


@_function("tree.exit_blocks", ExitForm, "BAD_SHAPE")
def _exit(given: ExitForm) -> dict[str, Any]:
    """Each client's worst-case exit: locks, transactions, their sum in blocks; refused when over the ceiling."""
    made = plan.plan(
        Shape.of(given.arities, given.static, given.leaf_k),
        given.clients,
        plan.Timing(given.step_blocks, given.states),
        plan.Limits(given.ceiling_blocks, given.margin_blocks),
        0,
    )
    made.require_fit()
    return {
        "exits": [
            {
                "client": one.client,
                "lock_blocks": one.lock_blocks,
                "transactions": one.transactions,
                "exit_blocks": one.exit_blocks,
            }
            for one in made.exits
        ]
    }


@dataclass(frozen=True)
class OdometerForm(ShapeForm):
    """A tree whose counters have moved: ``changes`` are node paths, in the order of the changes before this one."""

    states: int = 4
    changes: list[str] = dataclasses.field(default_factory=list)
    path: str = "r"


def _odometer(given: OdometerForm) -> Odometer:
    odometer = Odometer.new(given.tree(), given.states)
    for change in given.changes:
        odometer = odometer.advance(change)
    return odometer


def _counters(odometer: Odometer, path: str) -> dict[str, Any]:
    return {
        "indices": [[owner, index] for owner, index in odometer.indices],
        "versions": list(odometer.versions_on_path(path)),
        "exhausted": odometer.exhausted,
    }


@_function("odometer.tick", OdometerForm, "BAD_SHAPE")
def _tick(given: OdometerForm) -> dict[str, Any]:
    """Move the counter of the node itself by one; every counter below restarts at 0. No carry."""
    return _counters(_odometer(given).tick(given.path), given.path)


@_function("odometer.advance", OdometerForm, "BAD_SHAPE")
def _advance(given: OdometerForm) -> dict[str, Any]:
    """Make a change at a node: its counter, or the nearest one above that has an index left, moves by one."""
    return _counters(_odometer(given).advance(given.path), given.path)


@dataclass(frozen=True)
class ExpiryForm:
    """A channel's place in its factory (blocks and heights), and an HTLC's expiry.

    ``incoming`` is the expiry with which a forwarded one came in, and ``forward_margin_blocks`` what it needs for that.
    """

    tip: int
    expiry: int
    end: int
    exit_blocks: int
    margin_blocks: int
    cutoff_blocks: int
    incoming: int | None = None
    forward_margin_blocks: int | None = None


@_function("htlc.expiry", ExpiryForm, "EXPIRY_TOO_SOON")
def _expiry(given: ExpiryForm) -> dict[str, Any]:
    """Whether an HTLC's expiry is one that both sides can enforce; the window that is accepted."""
    usual = given.exit_blocks, given.margin_blocks, given.end, given.cutoff_blocks
    limits = htlc_limits.HtlcLimits(*usual, forward_margin_blocks=given.forward_margin_blocks)
    htlc_limits.check_expiry(limits, given.tip, given.expiry)
    if given.incoming is not None:
        htlc_limits.check_forward(limits, given.incoming, given.expiry)
    return {"earliest": limits.earliest(given.tip), "latest": limits.latest()}


@dataclass(frozen=True)
class ParametersForm:
    """Values of parameters by name; a parameter that is left out has its default."""

    values: dict[str, int | str]


@_function("parameters.check", ParametersForm, "BAD_PARAMETER")
def _parameters(given: ParametersForm) -> dict[str, Any]:
    """Which constraints of spec/parameters.toml these values break, by id, in the order of the file; none is well.

    Refused are a name that is no parameter and a value out of its range.
    """
    known = load_parameters()
    values: dict[str, int | str] = {one.name: one.default for one in known.parameters}
    for name, value in given.values.items():
        if name not in known:
            raise Rejected("BAD_PARAMETER", f"there is no parameter '{name}'")
        fault = known[name].fault(value)
        if fault is not None:
            raise Rejected("BAD_PARAMETER", fault)
        values[name] = value
    return {"broken": [one.id for one in known.constraints if not one.holds(values)]}


# -- what a party publishes -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeldSpend:
    """An input: the output that it spends, by any name, and its relative lock in blocks (null: BIP-68 off)."""

    outpoint: str
    relative_lock_blocks: int | None = None


@dataclass(frozen=True)
class HeldTransaction:
    """A transaction that a party holds complete; ``lock_time`` is a height, 0 for none."""

    name: str
    kind: Kind
    spends: list[HeldSpend]
    lock_time: int = 0


@dataclass(frozen=True)
class UnspentOutput:
    """A confirmed output that is unspent, and the height of its block."""

    outpoint: str
    height: int


@dataclass(frozen=True)
class ViewForm:
    """What a party holds and sees.

    ``root``: the factory's one output on chain. ``next_height``: of the block that a broadcast may enter. ``deadline``:
    when the last block is at this height the party must have begun. ``pending``: its own broadcasts that are neither
    mined nor in conflict with what is. ``affordable``: whose fee it can pay; null: all.
    """

    role: Literal["client", "lsp", "tower"]
    root: str
    held: list[HeldTransaction]
    unspent: list[UnspentOutput]
    next_height: int
    deadline: int
    pending: list[str] = dataclasses.field(default_factory=list)
    affordable: list[str] | None = None


@_function("strategy.decide", ViewForm, "BAD_VIEW")
def _decide(given: ViewForm) -> dict[str, Any]:
    """What an honest party publishes at this look at the chain (spec/strategy.toml), in the order of the rules.

    Of those that one rule publishes, the one with the shorter lock comes first, and of equal ones the lesser name.
    """
    return decided(given, _strategy())


@cache
def _strategy() -> Strategy:
    return load_strategy()


def decided(given: ViewForm, strategy: Strategy) -> dict[str, Any]:
    """What these rules publish. Raises Rejected."""
    held = {one.name: _held(one) for one in given.held}
    unspent = {Outpoint(one.outpoint, 0): one.height for one in given.unspent}
    if len(held) < len(given.held) or len(unspent) < len(given.unspent):
        raise Rejected("BAD_VIEW", "a name stands twice")
    if not {*given.pending, *(given.affordable or ())} <= held.keys():
        raise Rejected("BAD_VIEW", "a transaction that the party does not hold")
    if any(height >= given.next_height for height in unspent.values()):
        raise Rejected("BAD_VIEW", "an output of a block that is not there yet")
    view = View(
        given.role,
        Outpoint(given.root, 0),
        held,
        unspent,
        given.next_height,
        given.deadline,
        frozenset(given.pending),
        None if given.affordable is None else frozenset(given.affordable),
    )
    return {"publish": list(decide(strategy, view))}


def _held(one: HeldTransaction) -> Template:
    """A template of which only what a decision looks at is filled in."""
    if not one.spends:
        raise Rejected("BAD_VIEW", f"{one.name} spends nothing")
    spends = []
    for spend in one.spends:
        if spend.relative_lock_blocks is not None and not 0 <= spend.relative_lock_blocks <= locks.MAX_RELATIVE_BLOCKS:
            raise Rejected("LOCK_TOO_LONG", f"{one.name}: {spend.relative_lock_blocks} blocks")
        spends.append(Spend(Outpoint(spend.outpoint, 0), spend.relative_lock_blocks))
    return Template(one.name, one.kind, tuple(spends), (), frozenset(), locks.height_lock_time(one.lock_time))


# -- keys, scripts, outputs --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tagged:
    """A tag, and bytes."""

    tag: str
    data: str


@_function("hash.tagged", Tagged, "BAD_LENGTH")
def _tagged(given: Tagged) -> dict[str, Any]:
    """BIP-340's tagged hash."""
    return {"hash": tagged_hash(given.tag, octets(given.data, "data")).hex()}


@dataclass(frozen=True)
class Keys:
    """33-byte public keys, in any order; ``merkle_root`` of the output's scripts, or null (BIP-86)."""

    public_keys: list[str]
    merkle_root: str | None = None


def _aggregate(public_keys: list[str]) -> musig.AggregateKey:
    return musig.aggregate([octets(key, "public key", 33) for key in public_keys])


@_function("key.aggregate", Keys, "BAD_KEY")
def _key_aggregate(given: Keys) -> dict[str, Any]:
    """BIP-327 KeyAgg(KeySort(keys)), and the taproot output key that it makes."""
    key = _aggregate(given.public_keys)
    root = None if given.merkle_root is None else octets(given.merkle_root, "merkle root", 32)
    output = key.taproot(root).x_only
    return {
        "sorted": [one.hex() for one in key.public_keys],
        "aggregate": key.plain.hex(),
        "output_key": output.hex(),
        "script_pubkey": p2tr_script(output).hex(),
    }


@dataclass(frozen=True)
class Lock:
    """A script path: the owner's 33-byte factory key, the clock, and how long (csv: blocks; cltv: a height)."""

    owner: str
    kind: Literal["csv", "cltv"]
    blocks: int

    def leaf(self) -> bytes:
        """Its tapscript."""
        key = octets(self.owner, "owner", 33)[1:]
        return (csv_leaf if self.kind == "csv" else cltv_leaf)(key, self.blocks)


@_function("script.lock", Lock, "BAD_LOCK")
def _lock(given: Lock) -> dict[str, Any]:
    """``<key> CHECKSIGVERIFY <blocks> CHECKSEQUENCEVERIFY`` (or CHECKLOCKTIMEVERIFY), and the hash of that leaf."""
    leaf = given.leaf()
    return {"script": leaf.hex(), "leaf_hash": tap_leaf(leaf).hex()}


@dataclass(frozen=True)
class Taproot:
    """A 32-byte x-only internal key, and the scripts of the tree, left to right; empty for none (BIP-86)."""

    internal_key: str
    scripts: list[str] = dataclasses.field(default_factory=list)


@_function("taproot.output", Taproot, "BAD_KEY")
def _taproot(given: Taproot) -> dict[str, Any]:
    """The output of an internal key and a script tree (BIP-341), and the control block that opens each script."""
    internal = octets(given.internal_key, "internal key", 32)
    tree = ScriptTree(tuple(octets(script, "script") for script in given.scripts)) if given.scripts else None
    root = None if tree is None else tree.merkle_root
    key = output_key(internal, root)
    return {
        "merkle_root": None if root is None else root.hex(),
        "tweak": tap_tweak(internal, root).hex(),
        "output_key": key.x_only.hex(),
        "parity": key.parity,
        "script_pubkey": p2tr_script(key.x_only).hex(),
        "control_blocks": []
        if tree is None
        else [tree.control_block(internal, number).hex() for number in range(len(tree.scripts))],
    }


# -- transactions ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Paid:
    """An output, in one of three forms.

    ``anchor``: pay-to-anchor. ``shared``: key path of all ``signers``, with ``lock`` as its only script. ``script``:
    ``script_pubkey`` as it stands.
    """

    amount_sat: int
    form: Literal["anchor", "shared", "script"]
    signers: list[str] = dataclasses.field(default_factory=list)
    lock: Lock | None = None
    script_pubkey: str = ""

    def root(self) -> bytes | None:
        """The root of its script tree."""
        return None if self.lock is None else ScriptTree((self.lock.leaf(),)).merkle_root

    def key(self) -> musig.AggregateKey:
        """The key that signs its key path."""
        return _aggregate(self.signers).taproot(self.root())

    def output(self) -> TxOutput:
        """The output as bytes."""
        if self.form == "anchor":
            return TxOutput(self.amount_sat, P2A)
        if self.form == "script":
            return TxOutput(self.amount_sat, octets(self.script_pubkey, "script_pubkey"))
        return TxOutput(self.amount_sat, p2tr_script(self.key().x_only))


@dataclass(frozen=True)
class Spent:
    """An input: txid in RPC order, output index, the relative lock in blocks (null: BIP-68 off), what it spends."""

    txid: str
    vout: int
    output: Paid
    relative_lock_blocks: int | None = None


@dataclass(frozen=True)
class TransactionForm:
    """A transaction: ``lock_time`` is a height, 0 for none."""

    version: int
    lock_time: int
    inputs: list[Spent]
    outputs: list[Paid]


@_function("tx.build", TransactionForm, "BAD_TRANSACTION")
def _transaction(given: TransactionForm) -> dict[str, Any]:
    """The unsigned transaction, its txid, and what the key path of each input signs (BIP-341, SIGHASH_DEFAULT)."""
    spends = [
        TxInput(
            octets(one.txid, "txid", 32).hex(),
            one.vout,
            locks.NO_RELATIVE_LOCK
            if one.relative_lock_blocks is None
            else locks.relative_lock_sequence(one.relative_lock_blocks),
        )
        for one in given.inputs
    ]
    made = build_transaction(
        given.version, spends, [one.output() for one in given.outputs], locks.height_lock_time(given.lock_time)
    )
    spent = [one.output.output() for one in given.inputs]
    return {
        "transaction": made.hex,
        "txid": made.txid,
        "spent": [{"amount_sat": one.amount_sat, "script_pubkey": one.script_pubkey.hex()} for one in spent],
        "sighashes": [taproot_sighash(made, number, spent).hex() for number in range(len(spends))],
    }


@dataclass(frozen=True)
class PlanForm:
    """What all parties agree on: terms with every key, each counted node's index, each leaf's contents (sat)."""

    terms: TermsForm
    versions: dict[str, int]
    contents: dict[str, LeafContents]


_NEEDS_POINTS = (Kind.COMMITMENT, Kind.SWEEP, Kind.EXPIRY)
"""What hangs on keys of a channel, or is one party's own."""


@_function("plan.transactions", PlanForm, "BAD_TERMS")
def _plan(given: PlanForm) -> dict[str, Any]:
    """Every transaction that the parties of a factory sign together, parents before children, from the terms alone.

    Commitments are left to ``tx.commitment``. A name is the reference's own; signers are named in their order.
    """
    terms = terms_of(given.terms)
    blueprint = blueprint_of(terms, given.versions, given.contents)
    names = [name for name, template in blueprint.templates.items() if template.kind not in _NEEDS_POINTS]
    made = realise(blueprint, book_of(given.terms), names)
    return {
        "transactions": [
            {
                "name": name,
                "kind": str(made[name].template.kind),
                "txid": made[name].txid,
                "transaction": made[name].transaction.hex,
                "signers": sorted(made[name].template.signers),
            }
            for name in names
        ]
    }


@dataclass(frozen=True)
class SpentOutput:
    """What an input spends."""

    amount_sat: int
    script_pubkey: str


@dataclass(frozen=True)
class SighashForm:
    """A transaction in hex, all outputs that it spends, which input signs, the hash type, the script that is opened."""

    transaction: str
    spent: list[SpentOutput]
    input: int
    hash_type: int = 0
    script: str | None = None


@_function("sighash.taproot", SighashForm, "BAD_SIGHASH")
def _sighash(given: SighashForm) -> dict[str, Any]:
    """What an input's signature signs (BIP-341; BIP-342 with a script), and the transaction's txid."""
    octets(given.transaction, "transaction")
    try:
        transaction = from_hex(given.transaction)
    except InputError as error:
        raise Rejected("BAD_TRANSACTION", str(error)) from error
    if given.hash_type not in {int(one) for one in SigHash}:
        raise Rejected("BAD_SIGHASH", f"hash type {given.hash_type} is unknown")
    spent = [TxOutput(one.amount_sat, octets(one.script_pubkey, "script_pubkey")) for one in given.spent]
    leaf = None if given.script is None else tap_leaf(octets(given.script, "script"))
    digest = taproot_sighash(transaction, given.input, spent, SigHash(given.hash_type), leaf)
    return {"sighash": digest.hex(), "txid": transaction.txid}


@dataclass(frozen=True)
class Points:
    """The four 33-byte basepoints of one side of a channel."""

    revocation: str
    payment: str
    delayed_payment: str
    htlc: str

    def points(self) -> ChannelPoints:
        """As bytes."""
        return ChannelPoints(*(octets(getattr(self, one.name), one.name, 33) for one in dataclasses.fields(self)))


@dataclass(frozen=True)
class HtlcForm:
    """A payment in flight, as the commitment's holder sees it."""

    direction: Literal["offered", "received"]
    number: int
    amount_msat: int
    payment_hash: str
    cltv_expiry: int


@dataclass(frozen=True)
class CommitmentForm:
    """A commitment: amounts in sat or msat as named, the delay in blocks."""

    funding_txid: str
    funding_vout: int
    capacity_sat: int
    funding_keys: list[str]
    holder: Points
    other: Points
    holder_opened: bool
    to_self_delay: int
    dust_limit_sat: int
    number: int
    per_commitment_point: str
    to_local_msat: int
    to_remote_msat: int
    htlcs: list[HtlcForm] = dataclasses.field(default_factory=list)


@_function("tx.commitment", CommitmentForm, "BAD_COMMITMENT")
def _commitment(given: CommitmentForm) -> dict[str, Any]:
    """The unsigned commitment of BOLT zero-fee taproot channels (D-13), its txid and sighash."""
    if len(given.funding_keys) != 2:
        raise Rejected("BAD_KEY", f"{len(given.funding_keys)} funding keys instead of 2")
    first, second = (octets(key, "funding key", 33) for key in given.funding_keys)
    terms = bolt.Terms(
        octets(given.funding_txid, "funding txid", 32).hex(),
        given.funding_vout,
        given.capacity_sat,
        (first, second),
        given.holder.points(),
        given.other.points(),
        given.holder_opened,
        given.to_self_delay,
        given.dust_limit_sat,
    )
    state = bolt.State(
        given.number,
        octets(given.per_commitment_point, "per-commitment point", 33),
        given.to_local_msat,
        given.to_remote_msat,
        tuple(
            Htlc(
                Direction(one.direction),
                one.number,
                one.amount_msat,
                octets(one.payment_hash, "payment hash", 32),
                one.cltv_expiry,
            )
            for one in given.htlcs
        ),
    )
    made = bolt.build(terms, state)
    funding = terms.funding_output
    return {
        "transaction": made.transaction.hex,
        "txid": made.transaction.txid,
        "roles": [str(one.role) for one in made.outputs],
        "spent": [{"amount_sat": funding.amount_sat, "script_pubkey": funding.script_pubkey.hex()}],
        "sighashes": [made.sighash.hex()],
    }


# -- signatures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signed:
    """A 32-byte x-only key, a 32-byte message, a 64-byte signature."""

    public_key: str
    message: str
    signature: str


@_function("schnorr.verify", Signed, "BAD_KEY")
def _verify(given: Signed) -> dict[str, Any]:
    """Whether a BIP-340 signature is valid. A key that is no point makes it invalid."""
    key, message = octets(given.public_key, "public key", 32), octets(given.message, "message", 32)
    return {"valid": verify(key, message, octets(given.signature, "signature", 64))}


@dataclass(frozen=True)
class SignerForm:
    """A signer of a session in the test: its secret key, and the 32 bytes of randomness of its nonce."""

    secret_key: str
    randomness: str


@dataclass(frozen=True)
class SessionForm:
    """All signers of one message; ``merkle_root`` of the output that is spent, or null."""

    signers: list[SignerForm]
    message: str
    merkle_root: str | None = None


@_function("musig.sign", SessionForm, "BAD_KEY")
def _sign(given: SessionForm) -> dict[str, Any]:
    """A whole MuSig2 session with given randomness, for tests alone: nonces, partial signatures in order, signature.

    BIP-327 NonceGen with the secret key, the tweaked x-only aggregate key and the message; no extra input.
    """
    secrets = [SecretKey(octets(one.secret_key, "secret key", 32)) for one in given.signers]
    message = octets(given.message, "message", 32)
    root = None if given.merkle_root is None else octets(given.merkle_root, "merkle root", 32)
    key = musig.aggregate(secret.public for secret in secrets).taproot(root)
    made = []
    for secret, one in zip(secrets, given.signers, strict=True):
        randomness = octets(one.randomness, "randomness", 32)
        made.append(nonces.generate(secret, key, message, lambda _, chosen=randomness: chosen))  # type: ignore[misc]
    aggregate_nonce = nonces.aggregate_nonces([public for _, public in made])
    session = musig.Session.start(key, aggregate_nonce, message)
    partials = [musig.partial_sign(session, secret, nonce) for secret, (nonce, _) in zip(secrets, made, strict=True)]
    signature = musig.partial_aggregate(session, partials)
    return {
        "output_key": key.x_only.hex(),
        "public_nonces": [public.hex() for _, public in made],
        "aggregate_nonce": aggregate_nonce.hex(),
        "partial_signatures": [partial.hex() for partial in partials],
        "signature": signature.hex(),
    }


@dataclass(frozen=True)
class PartialForm:
    """One partial signature of a session: the signers' keys and nonces in one order, whose it is."""

    public_keys: list[str]
    public_nonces: list[str]
    signer: int
    message: str
    partial_signature: str
    merkle_root: str | None = None


@_function("musig.verify_partial", PartialForm, "BAD_NONCE")
def _verify_partial(given: PartialForm) -> dict[str, Any]:
    """Whether a partial signature is its signer's (BIP-327 PartialSigVerify)."""
    root = None if given.merkle_root is None else octets(given.merkle_root, "merkle root", 32)
    try:
        key = _aggregate(given.public_keys).taproot(root)
    except SigningError as error:
        raise Rejected("BAD_KEY", error.problem) from error
    public = [octets(nonce, "public nonce", 66) for nonce in given.public_nonces]
    session = musig.Session.start(key, nonces.aggregate_nonces(public), octets(given.message, "message", 32))
    if not 0 <= given.signer < len(public):
        raise InputError("signer", f"there are {len(public)} signers", "args")
    signer = octets(given.public_keys[given.signer], "public key", 33)
    partial = octets(given.partial_signature, "partial signature", 32)
    return {"valid": musig.partial_verify(session, signer, public[given.signer], partial)}


# -- fees --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ParentForm:
    """A transaction that is to be raised: its size, the fee that it pays, what its anchor holds (vB, sat)."""

    vbytes: int
    fee_sat: int
    anchor_sat: int = 0

    def paid(self) -> PaidFee:
        """As the rules of fees know it. Raises Rejected when a number is below what it can be."""
        if self.vbytes < 1 or min(self.fee_sat, self.anchor_sat) < 0:
            raise Rejected("BAD_TRANSACTION", "a size below 1, or an amount below 0")
        return PaidFee(self.vbytes, self.fee_sat, self.anchor_sat)


@dataclass(frozen=True)
class ChildForm:
    """A child that spends its parent's anchor and one coin, and pays its change to a script (sat, vB, sat/vB)."""

    parent: ParentForm
    child_vbytes: int
    price_sat_per_vb: int
    coin_sat: int
    payout_script: str


@_function("fee.child", ChildForm, "COIN_TOO_SMALL")
def _child(given: ChildForm) -> dict[str, Any]:
    """What a child pays so that it and its parent together pay the price, and what is left of its coin (sat)."""
    parent = given.parent.paid()
    fee = child_fee(parent, given.child_vbytes, given.price_sat_per_vb)
    left = given.coin_sat + parent.anchor - fee
    change = change_of(left, fee, octets(given.payout_script, "payout script"), "coin")
    return {"fee_sat": fee, "change_sat": change.amount_sat}


@dataclass(frozen=True)
class ReserveForm:
    """A client's path in its order, the size of each child, the price, the dust limit, and the coin that it holds."""

    path: list[ParentForm]
    child_vbytes: int
    price_sat_per_vb: int
    dust_sat: int
    coin_sat: int


@_function("fee.reserve", ReserveForm, "COIN_TOO_SMALL")
def _reserve(given: ReserveForm) -> dict[str, Any]:
    """The smallest coin that raises a whole path to a price (R-RESERVE, sat); a smaller one is refused."""
    path = [one.paid() for one in given.path]
    needed = reserve_needed(path, given.child_vbytes, given.price_sat_per_vb, given.dust_sat)
    if given.coin_sat < needed:
        raise Rejected("COIN_TOO_SMALL", f"{given.coin_sat} sat, and {needed} are needed")
    return {"needed_sat": needed}


# -- messages ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StreamForm:
    """The bytes of a TLV stream."""

    stream: str


@_function("tlv.stream", StreamForm, "TRUNCATED")
def _stream(given: StreamForm) -> dict[str, Any]:
    """The values of a TLV stream (BOLT 1) in their order; a number that may have 64 bits is decimal text."""
    values = tlv.read_stream(octets(given.stream, "stream"), "stream")
    return {"values": [{"type": str(number), "value": value.hex()} for number, value in values.items()]}


@dataclass(frozen=True)
class MessageForm:
    """A message in its JSON form."""

    message: dict[str, Any]


@_function("message.to_binary", MessageForm, "BAD_MESSAGE")
def _to_binary(given: MessageForm) -> dict[str, Any]:
    """The binary form of a message (spec/schema/messages.json)."""
    return {"binary": binary.encode(binary.read_json(json.dumps(given.message).encode(), "the test")).hex()}


@dataclass(frozen=True)
class BinaryForm:
    """A message in its binary form."""

    binary: str


@_function("message.from_binary", BinaryForm, "BAD_FIELD")
def _from_binary(given: BinaryForm) -> dict[str, Any]:
    """The JSON form of a message; null for an odd number that is unknown, which is passed over."""
    said = binary.decode(octets(given.binary, "binary"), "the test")
    return {"message": None if said is None else binary.plain(said)}
