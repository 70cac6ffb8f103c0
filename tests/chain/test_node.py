"""A node over JSON-RPC.

The first part tests encoding and decoding only, against a small HTTP server that plays bitcoind's answers: it says
nothing about policy. The second part, marked ``node``, asks a real bitcoind, and is skipped with the reason where none
is named.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from superscalar_ref.chain.interface import OutPoint, TxOut, Unspent, Verdict
from superscalar_ref.chain.kernel import KernelLedger
from superscalar_ref.chain.node import (
    VARIABLE,
    NodeLedger,
    Policy,
    Rpc,
    RpcError,
    RpcUnreachableError,
    named_program,
)
from superscalar_ref.errors import ChainError, InputError
from tests.chain.wallet import Key, pay

TXID = bytes(range(32))
SHOWN = TXID[::-1].hex()
A = Key("A")
FUNDS = TxOut(100_000, A.script)


class Script:
    """What the server answers, by method; and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "getblockchaininfo": {"chain": "regtest"},
            "getnetworkinfo": {"version": 290000},
        }
        self.asked: list[tuple[str, list[Any]]] = []
        self.authorisation = ""
        self.plain: tuple[int, bytes] | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((request["method"], request["params"]))
        result = self.answers[request["method"]]
        if callable(result):
            result = result(*request["params"])
        if isinstance(result, RpcError):
            error = {"code": result.code, "message": result.problem}
            return {"result": None, "error": error, "id": request["id"]}
        return {"result": result, "error": None, "id": request["id"]}


@pytest.fixture
def served() -> Iterator[tuple[Script, Rpc]]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            script.authorisation = self.headers["Authorization"]
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if script.plain is not None:
                status, body = script.plain
            else:
                answer = script.answer(request)
                status, body = (500 if answer["error"] else 200), json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield script, Rpc("127.0.0.1", server.server_address[1], "user", "pass word")
    server.shutdown()
    server.server_close()
    thread.join()


Served = tuple[Script, Rpc]


def test_encoding_of_a_call(served: Served) -> None:
    script, rpc = served
    script.answers["echo"] = lambda *parameters: list(parameters)
    assert rpc.call("echo", 1, "two", [True, None], {"a": 3}) == [1, "two", [True, None], {"a": 3}]
    assert script.asked == [("echo", [1, "two", [True, None], {"a": 3}])]
    assert base64.b64decode(script.authorisation.removeprefix("Basic ")) == b"user:pass word"


def test_decoding_of_amounts_is_exact(served: Served) -> None:
    script, rpc = served
    script.plain = (200, b'{"result": 0.1, "error": null, "id": 1}')
    assert rpc.call("x") == Decimal("0.1")


def test_decoding_of_an_error(served: Served) -> None:
    script, rpc = served
    script.answers["x"] = RpcError("x", -25, "bad-txns-nonfinal")
    with pytest.raises(RpcError, match=r"bitcoind refuses 'x': bad-txns-nonfinal \(-25\)"):
        rpc.call("x")


@pytest.mark.parametrize("plain", [(401, b""), (200, b"<html>"), (200, b"[]"), (200, b"{}"), (503, b"busy")])
def test_an_answer_that_is_no_json_rpc(served: Served, plain: tuple[int, bytes]) -> None:
    script, rpc = served
    script.plain = plain
    with pytest.raises(RpcUnreachableError, match=f"HTTP status {plain[0]}"):
        rpc.call("x")


def test_nobody_answers() -> None:
    with pytest.raises(RpcUnreachableError, match=r"127\.0\.0\.1:1:"):
        Rpc("127.0.0.1", 1, "u", "p").call("getblockcount")


@pytest.mark.parametrize(
    ("method", "answer", "problem"),
    [
        ("getblockchaininfo", {"chain": "main"}, "on 'main', not on 'regtest'"),
        ("getnetworkinfo", {"version": 270200}, "270200 is older than 280000"),
    ],
)
def test_a_node_that_is_not_ours_to_use(served: Served, method: str, answer: Any, problem: str) -> None:
    script, rpc = served
    script.answers[method] = answer
    with pytest.raises(InputError, match=problem):
        NodeLedger(rpc)


def test_encoding_of_a_mined_block(served: Served) -> None:
    script, rpc = served
    script.answers |= {
        "getblockcount": 100,
        "generateblock": {"hash": "ff" * 31 + "00"},
        "decoderawtransaction": {"txid": SHOWN},
    }
    mined = NodeLedger(rpc).mine([b"\x01\x02"])
    assert (mined.height, mined.txids, mined.block_hash) == (101, (TXID,), b"\x00" + b"\xff" * 31)
    assert ("generateblock", ["raw(6a)", ["0102"], True]) in script.asked


def test_decoding_of_a_refused_block(served: Served) -> None:
    script, rpc = served
    script.answers["getblockcount"] = 100
    said = "bad-txns-nonfinal, contains a non-BIP68-final transaction"
    script.answers["generateblock"] = RpcError("generateblock", -25, "TestBlockValidity failed: " + said)
    node = NodeLedger(rpc)
    with pytest.raises(ChainError) as caught:
        node.mine([b"\x01"])
    assert (caught.value.reason, caught.value.height) == (said, 101)
    assert node.would_accept([b"\x01"]) == Verdict(101, said)
    assert script.asked[-1] == ("generateblock", ["raw(6a)", ["01"], False])


def test_encoding_of_empty_blocks(served: Served) -> None:
    script, rpc = served
    script.answers |= {"getblockcount": 100, "generateblock": {"hash": "00" * 32}}
    node = NodeLedger(rpc)
    node.advance(2)
    assert [asked for asked in script.asked if asked[0] == "generateblock"] == [
        ("generateblock", ["raw(6a)", [], True])
    ] * 2
    with pytest.raises(ValueError, match="-1 blocks"):
        node.advance(-1)


def test_decoding_of_a_confirmation(served: Served) -> None:
    script, rpc = served
    script.answers |= {"getrawtransaction": {"blockhash": "ab"}, "getblockheader": {"height": 7}}
    node = NodeLedger(rpc)
    assert node.confirmation_height(TXID) == 7
    assert ("getrawtransaction", [SHOWN, 1]) in script.asked
    script.answers["getrawtransaction"] = {}
    assert node.confirmation_height(TXID) is None
    script.answers["getrawtransaction"] = RpcError("getrawtransaction", -5, "No such transaction")
    assert node.confirmation_height(TXID) is None


def test_decoding_of_blocks_into_outputs(served: Served) -> None:
    script, rpc = served

    def output(amount: float, script_hex: str, index: int = 0) -> dict[str, Any]:
        return {"value": amount, "n": index, "scriptPubKey": {"hex": script_hex}}

    first = {"txid": SHOWN, "vin": [{"coinbase": "51"}], "vout": [output(0.1, "51"), output(0, "6a", 1)]}
    second = {"txid": "ee" * 32, "vin": [{"txid": SHOWN, "vout": 0}], "vout": [output(0.09999999, "52")]}
    script.answers |= {
        "getblockcount": 2,
        "getblockhash": lambda height: f"hash {height}",
        "getblock": lambda which, _: {"tx": [first] if which == "hash 1" else [second]},
    }
    expected = {OutPoint(b"\xee" * 32, 0): Unspent(TxOut(9_999_999, b"\x52"), 2)}
    assert NodeLedger(rpc).unspent() == expected


def test_decoding_of_what_the_mempool_would_say(served: Served) -> None:
    script, rpc = served
    script.answers["testmempoolaccept"] = [
        {"txid": SHOWN, "allowed": True, "vsize": 111, "fees": {"base": 0.00000240}},
        {"txid": SHOWN, "allowed": False, "reject-reason": "TRUC-violation"},
        {"txid": SHOWN, "package-error": "package-not-sorted"},
        {"txid": SHOWN},
    ]
    assert NodeLedger(rpc).test_accept([b"\x01", b"\x02"]) == (
        Policy(TXID, True, "valid", 111, 240),
        Policy(TXID, False, "TRUC-violation"),
        Policy(TXID, False, "package-not-sorted"),
        Policy(TXID, False, "not tested: another one failed"),
    )
    assert script.asked[-1] == ("testmempoolaccept", [["01", "02"]])


def test_decoding_of_a_submitted_package(served: Served) -> None:
    script, rpc = served
    script.answers["submitpackage"] = {
        "package_msg": "transaction failed",
        "tx-results": {
            "w1": {"txid": SHOWN, "vsize": 120, "fees": {"base": 0}},
            "w2": {"txid": SHOWN, "error": "min relay fee not met"},
            "w3": {"txid": SHOWN, "other-wtxid": "aa"},
        },
    }
    assert NodeLedger(rpc).submit_package([b"\x01", b"\x02"]) == (
        Policy(TXID, True, "valid", 120, 0),
        Policy(TXID, False, "min relay fee not met"),
        Policy(TXID, False, "transaction failed"),
    )


def test_encoding_of_a_reorg_and_of_its_undoing(served: Served) -> None:
    script, rpc = served
    heights = {"now": 105}

    def generate(_: str, transactions: list[str], __: bool) -> Any:
        if transactions:
            return RpcError("generateblock", -25, "TestBlockValidity failed: bad")
        heights["now"] += 1
        return {"hash": "00" * 32}

    def back_to(height: int) -> Callable[[str], None]:
        return lambda _: heights.update(now=height)

    script.answers |= {
        "getblockcount": lambda: heights["now"],
        "getblockhash": lambda height: f"hash {height}",
        "invalidateblock": back_to(103),
        "reconsiderblock": back_to(105),
        "generateblock": generate,
    }
    node = NodeLedger(rpc)
    with pytest.raises(ChainError, match="at height 105: bad"):
        node.reorg(2, [[], [b"\x01"]])
    assert ("reconsiderblock", ["hash 104"]) in script.asked
    assert node.height == 105
    node.reorg(2)
    assert node.height == 106


@pytest.mark.parametrize("answer", [None, 7, "x", [], {}])
def test_answers_of_another_shape(served: Served, answer: Any) -> None:
    script, rpc = served
    node = NodeLedger(rpc)
    script.answers |= {"testmempoolaccept": answer, "getblockcount": answer, "submitpackage": answer}
    if answer != []:
        with pytest.raises(RpcUnreachableError, match="where a list belongs"):
            node.test_accept([b""])
    if answer != 7:
        with pytest.raises(RpcUnreachableError, match="where a whole number belongs"):
            _ = node.height
    if answer != {}:
        with pytest.raises(RpcUnreachableError, match="where an object belongs"):
            node.submit_package([b""])


def test_a_foreign_node_is_neither_copied_nor_stopped(served: Served) -> None:
    node = NodeLedger(served[1])
    with pytest.raises(InputError, match="cannot be copied"):
        node.fork()
    node.close()


@pytest.mark.parametrize(
    ("program", "problem"), [("/nowhere/bitcoind", "does not start"), (sys.executable, "ended with exit code")]
)
def test_a_program_that_is_no_node(program: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        NodeLedger.launch(Path(program))


def test_the_environment_names_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert named_program() == (None, f"{VARIABLE} is not set: mempool policy is not tested")
    monkeypatch.setenv(VARIABLE, "/nowhere/bitcoind")
    assert named_program() == (None, f"{VARIABLE} names '/nowhere/bitcoind', which is no program")
    monkeypatch.setenv(VARIABLE, sys.executable)
    assert named_program() == (Path(sys.executable), "")


PROGRAM, WHY_NOT = named_program()
with_node = pytest.mark.skipif(PROGRAM is None and VARIABLE not in os.environ, reason=WHY_NOT)


@pytest.fixture(scope="module")
def node() -> Iterator[NodeLedger]:
    assert PROGRAM is not None, WHY_NOT
    ledger = NodeLedger.start(PROGRAM, [FUNDS, FUNDS])
    yield ledger
    ledger.close()


@pytest.mark.node
@with_node
def test_a_node_and_the_kernel_judge_alike(node: NodeLedger) -> None:
    with KernelLedger.start([FUNDS, FUNDS]) as kernel:
        twin = node.fork()
        good = pay(kernel.funds[0], FUNDS, A, FUNDS.amount)
        early = pay(good.point(), FUNDS, A, FUNDS.amount, sequence=3)
        for ledger in (kernel, twin):
            assert ledger.mine([good.raw]).txids == (good.txid,)
            assert ledger.confirmation_height(good.txid) == 101
            assert ledger.would_accept([early.raw]).code == "bad-txns-nonfinal"
            ledger.advance(2)
            assert ledger.would_accept([early.raw]).accepted
            ledger.reorg(3)
            assert ledger.confirmation_height(good.txid) is None
        ours = {point: coin for point, coin in kernel.unspent().items() if point in kernel.funds}
        theirs = {point: coin for point, coin in twin.unspent().items() if point in kernel.funds}
        assert ours == theirs
        twin.close()


@pytest.mark.node
@with_node
def test_the_mempool_takes_a_package_whose_child_pays(node: NodeLedger) -> None:
    with KernelLedger.start([FUNDS, FUNDS]) as kernel:
        parent = pay(kernel.funds[1], FUNDS, A, FUNDS.amount)
        child = pay(parent.point(), FUNDS, A, FUNDS.amount - 1000)
    assert not node.test_accept([parent.raw])[0].accepted
    results = node.submit_package([parent.raw, child.raw])
    assert [result.accepted for result in results] == [True, True]
    assert set(node.mine_mempool().txids) == {parent.txid, child.txid}
