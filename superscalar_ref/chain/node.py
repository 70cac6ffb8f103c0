"""A bitcoind (28 or later) on regtest, over JSON-RPC: for what the consensus code cannot say, the mempool's policy.

Which packages are relayed, TRUC's limits (BIP-431), anchors that pay for their parents (BIP-433): only a node knows.
Optional: it needs the program that the environment variable ``SUPERSCALAR_BITCOIND`` names.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

from superscalar_ref.chain.interface import (
    VALID,
    Mined,
    OutPoint,
    TxOut,
    Unspent,
    Verdict,
    check_reorg,
)
from superscalar_ref.errors import ChainError, InputError, SuperscalarError

VARIABLE = "SUPERSCALAR_BITCOIND"
"""The environment variable that names the program bitcoind."""
OLDEST = 280000
"""The oldest version that knows packages, TRUC and anchors (Bitcoin Core 28.0)."""

_NOWHERE = "raw(6a)"
_COIN = 100_000_000
_PATIENCE_SECONDS = 30.0

Json: TypeAlias = "bool | int | str | Decimal | list[Json] | dict[str, Json] | None"


class RpcError(SuperscalarError):
    """bitcoind answered with an error; ``code`` is its number, ``problem`` its words."""

    def __init__(self, method: str, code: int, problem: str) -> None:
        self.method = method
        self.code = code
        self.problem = problem
        super().__init__(f"bitcoind refuses '{method}': {problem} ({code})")


class RpcUnreachableError(SuperscalarError):
    """bitcoind cannot be reached, or does not speak JSON-RPC."""


class Rpc:
    """JSON-RPC 1.0 over HTTP, one connection a call. Amounts come back as ``Decimal``, never as ``float``."""

    def __init__(self, host: str, port: int, user: str, password: str, seconds: float = 60.0) -> None:
        """Talk to ``host``:``port`` and give up a call after ``seconds``."""
        self._host = host
        self._port = port
        self._seconds = seconds
        self._authorisation = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def call(self, method: str, *parameters: Json) -> Json:
        """Call ``method`` and return its result.

        Raises ``RpcError`` when bitcoind refuses, ``RpcUnreachableError`` when it cannot be understood.
        """
        body = json.dumps({"jsonrpc": "1.0", "id": method, "method": method, "params": list(parameters)})
        headers = {"Authorization": self._authorisation, "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._seconds)
        try:
            connection.request("POST", "/", body, headers)
            response = connection.getresponse()
            status, text = response.status, response.read()
        except (OSError, http.client.HTTPException) as problem:
            raise RpcUnreachableError(f"bitcoind at {self._host}:{self._port}: {problem}") from None
        finally:
            connection.close()
        return self._result(method, status, text)

    def _result(self, method: str, status: int, text: bytes) -> Json:
        try:
            answer = json.loads(text, parse_float=Decimal)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or "result" not in answer:
            raise RpcUnreachableError(
                f"bitcoind at {self._host}:{self._port}: HTTP status {status} without a JSON-RPC answer to '{method}'"
            )
        error = answer.get("error")
        if error is not None:
            raise RpcError(method, int(error["code"]), str(error["message"]))
        result: Json = answer["result"]
        return result


@dataclass(frozen=True)
class Policy:
    """What the mempool said of one transaction."""

    txid: bytes
    accepted: bool
    said: str
    """``valid``, or the reason in Core's words."""
    vbytes: int = 0
    """Size (vbytes); 0 when the mempool did not say."""
    fee_sat: int = 0
    """Fee (sat); 0 when the mempool did not say."""


class NodeLedger:
    """A regtest chain in a bitcoind of our own, with a mempool beside it."""

    def __init__(self, rpc: Rpc) -> None:
        """Use the node behind ``rpc``; it must be on regtest and recent. Raises ``InputError`` otherwise."""
        self.rpc = rpc
        chain = _dict(rpc.call("getblockchaininfo"))["chain"]
        if chain != "regtest":
            raise InputError(VARIABLE, f"the node is on '{chain}', not on 'regtest'", "tests own their chain")
        version = _int(_dict(rpc.call("getnetworkinfo"))["version"])
        if version < OLDEST:
            raise InputError(VARIABLE, f"version {version} is older than {OLDEST}", "packages, TRUC, anchors")
        self._program: Path | None = None
        self._start = 0
        self._dispose: weakref.finalize[..., NodeLedger] | None = None

    @classmethod
    def launch(cls, program: Path) -> NodeLedger:
        """Start ``program`` on an empty regtest chain in a temporary directory; ``close`` ends both.

        Raises ``InputError`` when it does not start within half a minute.
        """
        directory = tempfile.TemporaryDirectory(prefix="superscalar-node-")
        port = _free_port()
        arguments = [str(program), "-regtest", f"-datadir={directory.name}", f"-rpcport={port}"]
        arguments += ["-listen=0", "-disablewallet", "-txindex", "-fallbackfee=0.00001", "-printtoconsole=0"]
        try:
            process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except OSError as problem:
            directory.cleanup()
            raise InputError(VARIABLE, f"'{program}' does not start: {problem.strerror}", "bitcoind") from None
        try:
            node = cls(_wait_for(process, Path(directory.name) / "regtest" / ".cookie", port))
        except SuperscalarError:
            _stop(process, directory)
            raise
        node._program = program
        node._dispose = weakref.finalize(node, _stop, process, directory)
        return node

    @classmethod
    def start(cls, program: Path, outputs: Sequence[TxOut] = (), height: int | None = None) -> NodeLedger:
        """A chain that begins with the blocks of ``KernelLedger.start``: the same money at the same outpoints."""
        from superscalar_ref.chain.kernel import KernelLedger  # noqa: PLC0415  (pbk costs 170 ms)

        node = cls.launch(program)
        with KernelLedger.start(outputs, height) as kernel:
            for raw in kernel.raw_blocks():
                node._submit(raw)
            node._start = kernel.height
        return node

    @classmethod
    def follow(cls, program: Path, blocks: Sequence[bytes]) -> NodeLedger:
        """A node of our own with serialised blocks from height 1 on. Raises ``ChainError`` when it refuses one."""
        node = cls.launch(program)
        for raw in blocks:
            node._submit(raw)
        node._start = len(blocks)
        return node

    @property
    def height(self) -> int:
        """Height of the last block."""
        return _int(self.rpc.call("getblockcount"))

    def mine(self, transactions: Sequence[bytes] = ()) -> Mined:
        """Add one block by the rules of consensus alone, whatever the mempool would say; see ``Ledger.mine``."""
        height = self.height + 1
        made = self._generate(transactions, height, submit=True)
        block_hash = bytes.fromhex(_str(made["hash"]))[::-1]
        return Mined(height, block_hash, tuple(self._txid(raw) for raw in transactions))

    def advance(self, blocks: int) -> None:
        """Add ``blocks`` empty blocks. Raises ``ValueError`` when negative."""
        if blocks < 0:
            raise ValueError(f"a chain cannot advance by {blocks} blocks")
        for _ in range(blocks):
            self._generate((), self.height + 1, submit=True)

    def would_accept(self, transactions: Sequence[bytes]) -> Verdict:
        """What consensus says of these transactions in the next block; nothing changes. Policy: ``test_accept``."""
        height = self.height + 1
        try:
            self._generate(transactions, height, submit=False)
        except ChainError as refusal:
            return Verdict(height, refusal.reason)
        return Verdict(height, VALID)

    def confirmation_height(self, txid: bytes) -> int | None:
        """The height of the block that holds this transaction, or None."""
        try:
            found = _dict(self.rpc.call("getrawtransaction", txid[::-1].hex(), 1))
        except RpcError:
            return None
        if "blockhash" not in found:
            return None
        return _int(_dict(self.rpc.call("getblockheader", found["blockhash"]))["height"])

    def unspent(self) -> Mapping[OutPoint, Unspent]:
        """Every output that may still be spent, read from the blocks."""
        coins: dict[OutPoint, Unspent] = {}
        for height in range(1, self.height + 1):
            block = _dict(self.rpc.call("getblock", self._hash_at(height), 2))
            for item in _list(block["tx"]):
                _apply(coins, _dict(item), height)
        return coins

    def reorg(self, depth: int, branch: Sequence[Sequence[bytes]] = ()) -> None:
        """Replace the last ``depth`` blocks by ``depth + 1`` others; see ``Ledger.reorg``."""
        contents = check_reorg(depth, self.height - self._start, branch)
        old_tip, base = self.height, self.height - depth
        undone = self._hash_at(base + 1) if depth else ""
        if depth:
            self.rpc.call("invalidateblock", undone)
        try:
            for height, transactions in enumerate(contents, start=base + 1):
                self._generate(transactions, height, submit=True)
        except ChainError:
            if self.height > base:
                self.rpc.call("invalidateblock", self._hash_at(base + 1))
            if depth:
                self.rpc.call("reconsiderblock", undone)
            if self.height != old_tip:
                raise RpcUnreachableError("bitcoind did not return to its chain after a refused reorg") from None
            raise

    def fork(self) -> NodeLedger:
        """Another bitcoind with the same blocks; its mempool is empty. Only for a node of our own (``launch``)."""
        if self._program is None:
            raise InputError(VARIABLE, "a node that was not started here cannot be copied", "NodeLedger.launch")
        twin = NodeLedger.launch(self._program)
        for height in range(1, self.height + 1):
            twin._submit(bytes.fromhex(_str(self.rpc.call("getblock", self._hash_at(height), 0))))
        twin._start = self._start
        return twin

    def close(self) -> None:
        """Stop a node of our own and remove its files; leave another alone."""
        if self._dispose is not None:
            self._dispose()

    def test_accept(self, transactions: Sequence[bytes]) -> tuple[Policy, ...]:
        """What the mempool would say of these transactions, as one package (``testmempoolaccept``)."""
        answers = _list(self.rpc.call("testmempoolaccept", [raw.hex() for raw in transactions]))
        return tuple(_tested(_dict(answer)) for answer in answers)

    def submit_package(self, transactions: Sequence[bytes]) -> tuple[Policy, ...]:
        """Hand a child and its parents, parents first, to the mempool (``submitpackage``), and what it said of each.

        Raises ``RpcError`` when the package is malformed.
        """
        answer = _dict(self.rpc.call("submitpackage", [raw.hex() for raw in transactions]))
        results = [_dict(item) for item in _dict(answer["tx-results"]).values()]
        return tuple(_submitted(item, _str(answer["package_msg"])) for item in results)

    def mine_mempool(self) -> Mined:
        """Add one block of what the mempool holds, chosen as Core's miner does (``generatetodescriptor``)."""
        made = _list(self.rpc.call("generatetodescriptor", 1, _NOWHERE))
        block = _dict(self.rpc.call("getblock", made[0], 1))
        txids = tuple(bytes.fromhex(_str(txid))[::-1] for txid in _list(block["tx"])[1:])
        return Mined(_int(block["height"]), bytes.fromhex(_str(made[0]))[::-1], txids)

    def _generate(self, transactions: Sequence[bytes], height: int, submit: bool) -> dict[str, Json]:
        listed: list[Json] = [raw.hex() for raw in transactions]
        try:
            return _dict(self.rpc.call("generateblock", _NOWHERE, listed, submit))
        except RpcError as refusal:
            reason = refusal.problem.removeprefix("TestBlockValidity failed: ")
            raise ChainError(reason, height) from None

    def _submit(self, block: bytes) -> None:
        said = self.rpc.call("submitblock", block.hex())
        if said is not None:
            raise ChainError(_str(said), self.height + 1)

    def _hash_at(self, height: int) -> str:
        return _str(self.rpc.call("getblockhash", height))

    def _txid(self, raw: bytes) -> bytes:
        decoded = _dict(self.rpc.call("decoderawtransaction", raw.hex()))
        return bytes.fromhex(_str(decoded["txid"]))[::-1]


def named_program() -> tuple[Path | None, str]:
    """The bitcoind that the environment names, or None and the reason why there is none to use."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        return None, f"{VARIABLE} is not set: mempool policy is not tested"
    found = shutil.which(named)
    if found is None:
        return None, f"{VARIABLE} names '{named}', which is no program"
    return Path(found), ""


def _tested(answer: dict[str, Json]) -> Policy:
    """One answer of ``testmempoolaccept``: 'allowed' is missing where the package failed as a whole."""
    txid = bytes.fromhex(_str(answer["txid"]))[::-1]
    if answer.get("allowed") is True:
        return Policy(txid, True, VALID, _int(answer["vsize"]), _fee(answer))
    said = answer.get("reject-reason") or answer.get("package-error") or "not tested: another one failed"
    return Policy(txid, False, _str(said))


def _submitted(answer: dict[str, Json], package: str) -> Policy:
    """One answer of ``submitpackage``; ``package`` is what it said of all of them."""
    txid = bytes.fromhex(_str(answer["txid"]))[::-1]
    error = answer.get("error")
    if error is not None or "fees" not in answer:
        return Policy(txid, False, _str(error) if error is not None else package)
    return Policy(txid, True, VALID, _int(answer["vsize"]), _fee(answer))


def _fee(answer: dict[str, Json]) -> int:
    return _sat(_dict(answer["fees"])["base"])


def _sat(coins: Json) -> int:
    """An amount of JSON-RPC, in bitcoins, as sat."""
    if not isinstance(coins, Decimal | int):
        raise RpcUnreachableError(f"bitcoind answered {coins!r} where an amount belongs")
    return int(coins * _COIN)


def _apply(coins: dict[OutPoint, Unspent], item: dict[str, Json], height: int) -> None:
    """Follow one transaction of a block."""
    for spent in map(_dict, _list(item["vin"])):
        if "txid" in spent:
            coins.pop(OutPoint(bytes.fromhex(_str(spent["txid"]))[::-1], _int(spent["vout"])), None)
    txid = bytes.fromhex(_str(item["txid"]))[::-1]
    for output in map(_dict, _list(item["vout"])):
        script = bytes.fromhex(_str(_dict(output["scriptPubKey"])["hex"]))
        if not script.startswith(b"\x6a"):
            point = OutPoint(txid, _int(output["n"]))
            coins[point] = Unspent(TxOut(_sat(output["value"]), script), height)


def _dict(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise RpcUnreachableError(f"bitcoind answered {value!r} where an object belongs")
    return value


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise RpcUnreachableError(f"bitcoind answered {value!r} where a list belongs")
    return value


def _str(value: Json) -> str:
    if not isinstance(value, str):
        raise RpcUnreachableError(f"bitcoind answered {value!r} where a text belongs")
    return value


def _int(value: Json) -> int:
    if not isinstance(value, int):
        raise RpcUnreachableError(f"bitcoind answered {value!r} where a whole number belongs")
    return value


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], cookie: Path, port: int) -> Rpc:
    """The connection to a node that has just been started, once it answers."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise InputError(VARIABLE, f"the program ended with exit code {process.returncode}", "bitcoind")
        try:
            user, _, password = cookie.read_text().partition(":")
            rpc = Rpc("127.0.0.1", port, user, password)
            rpc.call("getblockcount")
            return rpc
        except (OSError, RpcUnreachableError, RpcError):
            time.sleep(0.1)
    raise InputError(VARIABLE, f"no answer within {_PATIENCE_SECONDS:.0f} s", "bitcoind")


def _stop(process: subprocess.Popen[bytes], directory: tempfile.TemporaryDirectory[str]) -> None:
    """End a node that we started, then remove its files."""
    process.terminate()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    directory.cleanup()
