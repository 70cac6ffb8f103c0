"""Layer L3: a party of the adapter among ours on Bitcoin Core's consensus code; what it owns at the end is the verdict.

Laws of this module:

* Every transaction of a story is in its file, complete. The adapter decides what its party publishes, and when.
* The others publish what the story says as soon as Core takes it, and of two that spend one output the miner takes
  theirs: the party wins only by being earlier, or alone.
* A broadcast that Core would not take into the next block is forgotten, as nodes forget it. A reorg forgets the rest.
* Nothing that the adapter says about itself counts: what counts is who owns which outputs when the story ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from superscalar_ref.bitcoin.transaction import from_hex
from superscalar_ref.chain.interface import OutPoint, TxOut
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.conformance.judge import DECIDERS, Failed, Talk
from superscalar_ref.conformance.runner import Fault
from superscalar_ref.errors import ChainError, InputError

TOWER, DEPTH = "T", 3
"""A tower's own name, and after how many confirmations it treats a spend as final (blocks)."""


class Stage:
    """The chain of one story, and the transactions by their txids."""

    def __init__(self, test: Mapping[str, Any]) -> None:
        """Raises InputError when the story's coins are not on the chain that it begins with."""
        story = test["story"]
        coins = [TxOut(one["amount_sat"], bytes.fromhex(one["script_pubkey"])) for one in story["coins"]]
        self.known: dict[str, Mapping[str, Any]] = {one["txid"]: one for one in story["transactions"]}
        self.raw = {txid: bytes.fromhex(one["transaction"]) for txid, one in self.known.items()}
        self.ledger = KernelLedger.start(coins, story["height"])
        made = {_text(point) for point in self.ledger.funds}
        missing = {spend["outpoint"] for one in self.known.values() for spend in one["spends"]} - made
        missing -= {f"{txid}:{vout}" for txid, raw in self.raw.items() for vout in range(_outputs(raw))}
        if missing:
            raise InputError(test["id"], f"nothing makes {min(missing)}", "vectors")
        self.published: dict[str, None] = {}
        """What the party has broadcast and is not mined, in that order."""
        self._unspent: dict[str, int] = {}
        self._counted = -1
        """The height at which ``_unspent`` was counted: a reorg makes the chain longer, so it is never the same."""

    def unspent(self) -> dict[str, int]:
        """Every output that is unspent → height of its block."""
        if self._counted != self.ledger.height:
            self._unspent = {_text(point): coin.height for point, coin in self.ledger.unspent().items()}
            self._counted = self.ledger.height
        return self._unspent

    def confirmed(self, txid: str) -> int | None:
        """The height at which a transaction is confirmed."""
        return self.ledger.confirmation_height(bytes.fromhex(txid)[::-1])

    def spender(self, outpoint: str) -> int | None:
        """The height at which an output of the story is spent."""
        heights = (
            self.confirmed(txid)
            for txid, one in self.known.items()
            if any(spend["outpoint"] == outpoint for spend in one["spends"])
        )
        return next((height for height in heights if height is not None), None)

    def broadcast(self, txids: list[str]) -> None:
        """Take what the party publishes, where Core would have it in the next block."""
        for txid in txids:
            if txid in self.raw and txid not in self.published and self._enters(txid):
                self.published[txid] = None

    def mine(self, others: list[str]) -> None:
        """One block: what the others publish, then what the party does, as far as it is still valid."""
        block: list[str] = []
        for txid in (*others, *self.published):
            if txid not in block and not self._conflict(txid, block) and self._enters(txid):
                block.append(txid)
        self.ledger.mine([self.raw[txid] for txid in block])
        spent = {spend["outpoint"] for txid in block for spend in self.known[txid]["spends"]}
        for txid in [*self.published]:
            if any(spend["outpoint"] in spent for spend in self.known[txid]["spends"]):
                del self.published[txid]

    def reorg(self, blocks: int) -> None:
        """The last blocks are replaced by empty ones, and one more; every mempool has forgotten."""
        self.ledger.reorg(blocks)
        self.published.clear()

    def owned(self, script: bytes) -> int:
        """What the story's transactions left at rest under a script (sat)."""
        made = {bytes.fromhex(txid)[::-1] for txid in self.known}
        coins = self.ledger.unspent().items()
        return sum(coin.output.amount for point, coin in coins if point.txid in made and coin.output.script == script)

    def _enters(self, txid: str) -> bool:
        """Whether Core takes it into the next block; it is asked only about what spends an output that is there."""
        unspent = self.unspent()
        there = all(spend["outpoint"] in unspent for spend in self.known[txid]["spends"])
        return there and self.ledger.would_accept([self.raw[txid]]).accepted

    def _conflict(self, txid: str, block: list[str]) -> bool:
        taken = {spend["outpoint"] for other in block for spend in self.known[other]["spends"]}
        return any(spend["outpoint"] in taken for spend in self.known[txid]["spends"])


def _text(point: OutPoint) -> str:
    return f"{point.txid[::-1].hex()}:{point.index}"


def _outputs(raw: bytes) -> int:
    return len(from_hex(raw.hex()).outputs)


class _Party(Protocol):
    def look(self, stage: Stage) -> list[str]: ...

    def restart(self) -> None: ...


class _Decider:
    """A client or an LSP: asked at every look what it publishes (``strategy.decide``); it remembers nothing."""

    def __init__(self, talk: Talk, test: Mapping[str, Any]) -> None:
        self._talk, self._role, self._story = talk, test["role"], test["story"]
        held = {one["txid"]: one for one in self._story["transactions"]}
        self._held = [held[txid] for txid in self._story["held"]]

    def look(self, stage: Stage) -> list[str]:
        """What it publishes now."""
        unspent = stage.unspent()
        wanted = {spend["outpoint"] for one in self._held for spend in one["spends"]} | {self._story["root"]}
        view = {
            "role": self._role,
            "root": self._story["root"],
            "held": [
                {"name": one["txid"], **{key: one[key] for key in ("kind", "spends", "lock_time")}}
                for one in self._held
            ],
            "unspent": [{"outpoint": one, "height": unspent[one]} for one in sorted(wanted & unspent.keys())],
            "next_height": stage.ledger.height + 1,
            "deadline": self._story["deadline"],
            "pending": list(stage.published),
        }
        reply = self._talk.ask("eval", fn="strategy.decide", args=view)
        if "reject" in reply:
            raise Failed("REFUSED", f"block {stage.ledger.height}: refuses with {reply['reject'].get('code')}")
        publish = reply["ok"].get("publish")
        if not isinstance(publish, list) or not all(isinstance(name, str) for name in publish):
            raise Fault("BAD_REPLY", "'publish' is no list of names")
        return publish

    def restart(self) -> None:
        """Nothing is to be lost."""


class _Tower:
    """A watchtower: one node of its table for each output, told what the chain shows, and let answer."""

    def __init__(self, talk: Talk, test: Mapping[str, Any]) -> None:
        self._talk = talk
        story = test["story"]
        held = {one["txid"]: one for one in story["transactions"] if one["txid"] in story["held"]}
        self._cases: dict[str, list[Mapping[str, Any]]] = {}
        for one in held.values():
            self._cases.setdefault(one["spends"][0]["outpoint"], []).append(one)
        self._told: dict[str, int | None] = {}
        for outpoint, entries in self._cases.items():
            begin = {"status": "watching", "tower": TOWER, "client": test["party"], "outpoint": outpoint}
            empty = {"entries": [], "confirmed": -1, "answer": ""}
            talk.ask("new", node=outpoint, machine="watchtower", state={**begin, "depth": DEPTH, **empty})
            for one in entries:
                self._step(outpoint, "register", test["party"], **_entry(one), outpoint=outpoint, finished=True)
            self._told[outpoint] = None

    def look(self, stage: Stage) -> list[str]:
        """What it publishes now."""
        return [txid for outpoint in self._cases for txid in self._answers(stage, outpoint)]

    def _answers(self, stage: Stage, outpoint: str) -> Iterator[str]:
        height, spent = stage.confirmed(outpoint.partition(":")[0]), stage.spender(outpoint)
        if self._told[outpoint] not in (None, height):
            self._step(outpoint, "output_gone", "chain")
        if height is not None and height != self._told[outpoint]:
            self._step(outpoint, "output_confirmed", "chain", height=height)
        self._told[outpoint] = height
        if spent is not None:
            self._step(outpoint, "output_spent", "chain", depth=stage.ledger.height - spent + 1)
        elif height is not None:
            # The one that waits longest comes first: it is the tower that must not take it.
            for one in sorted(self._cases[outpoint], key=lambda entry: -_entry(entry)["relative_lock"]):
                reply = self._step(outpoint, "answer", TOWER, entry=one["txid"], next_height=stage.ledger.height + 1)
                effects = reply.get("ok", {}).get("effects", [])
                yield from (effect["name"] for effect in effects if effect.get("kind") == "broadcast")

    def restart(self) -> None:
        """A crash of the whole tower."""
        for outpoint in self._cases:
            self._talk.ask("restart", node=outpoint)

    def _step(self, node: str, name: str, by: str, **fields: Any) -> Mapping[str, Any]:
        return self._talk.ask("step", node=node, event={"name": name, "by": by, "fields": fields})


def _entry(one: Mapping[str, Any]) -> dict[str, Any]:
    lock = one["spends"][0]["relative_lock_blocks"]
    return {"entry": one["txid"], "kind": one["kind"], "relative_lock": lock or 0, "lock_time": one["lock_time"]}


def play(talk: Talk, test: Mapping[str, Any]) -> None:
    """Play a story. Raises Failed with what the party lost, Fault, and InputError for a story that is at fault."""
    story = test["story"]
    stage = Stage(test)
    try:
        party: _Party = _Decider(talk, test) if test["role"] in DECIDERS else _Tower(talk, test)
        while stage.ledger.height < story["ends"]:
            _block(stage, party, story)
        _verdict(stage, test["expect"])
    except ChainError as error:
        raise InputError(test["id"], str(error), "vectors") from error
    finally:
        stage.ledger.close()


def _block(stage: Stage, party: _Party, story: Mapping[str, Any]) -> None:
    """The party looks at the chain, unless it is away; a block is mined; what is to go wrong goes wrong."""
    height = stage.ledger.height
    if not any(away["from"] <= height < away["to"] for away in story["away"]):
        stage.broadcast(party.look(stage))
    stage.mine([one["txid"] for one in story["others"] if one["from"] <= height + 1])
    for trouble in story["troubles"]:
        if trouble["height"] == height + 1:
            if "restart" in trouble:
                party.restart()
            else:
                stage.reorg(trouble["reorg"])


def _verdict(stage: Stage, expect: Mapping[str, Any]) -> None:
    for txid in expect["never"]:
        if stage.confirmed(txid) is not None:
            what = stage.known[txid]["name"]
            raise Failed("HARMFUL", f"{what} is in block {stage.confirmed(txid)}: nobody needed it")
    for one in expect["owned"]:
        has = stage.owned(bytes.fromhex(one["script_pubkey"]))
        if has < one["at_least_sat"]:
            raise Failed("TOO_LITTLE", f"{one['party']} owns {has} sat at the end instead of {one['at_least_sat']}")
