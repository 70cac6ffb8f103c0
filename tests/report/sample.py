"""A small result of a run, made up but of the real form, for the tests of what shows it."""

from __future__ import annotations

from superscalar_ref.report.result import (
    Check,
    Client,
    Confirmation,
    ExitResult,
    Factory,
    Messages,
    RaceResult,
    TransactionVerdict,
    TreeSummary,
    VerifyResult,
)

NAMES = ("alice", "bob", "carol", "dave")

TIMELINE = (("kickoff:r@-", 101), ("state:r@0", 534), ("kickoff:r.0@0", 535), ("state:r.0@0.0", 968), ("sweep", 1113))


def verdict(scenario: str, name: str, height: int | None, said: str = "accepted") -> TransactionVerdict:
    return TransactionVerdict(
        scenario=scenario,
        name=name,
        kind=name.partition(":")[0],
        txid="00" * 31 + f"{len(name):02x}",
        vbytes=154,
        fee_sat=154,
        height=height,
        verdict=said,
        expected="accepted" if said == "accepted" else "refused",
    )


def sample() -> VerifyResult:
    exits = tuple(
        ExitResult(
            client=name,
            blocks=1013,
            transactions=len(TIMELINE),
            vbytes=900,
            fee_sat=1100,
            owed_sat=50_000,
            owned_sat=49_800,
            dragged=tuple(other for other in NAMES if other != name)[:1],
            confirmations=tuple(Confirmation(transaction, height) for transaction, height in TIMELINE),
        )
        for name in NAMES
    )
    return VerifyResult(
        example="four-clients.toml",
        passed=True,
        factory=Factory(
            name="sample",
            clients=tuple(Client(name, 50_000, 100_000) for name in NAMES),
            lsp="L",
            tree=TreeSummary(depth=2, transactions=14, dw_layers=3, arity=(2,)),
            worst_exit_blocks=1302,
            end_height=7000,
            parameters={"step": 144, "states": 4, "inverted": True, "design": "csv"},
        ),
        checks=(
            Check("build/agreed", "build", "Everyone agrees on the shape.", True, "9 parties", ("FAC-1",)),
            *(
                Check(f"exit/{name}", "exit", f"{name} exits alone.", True, "1013 blocks", ("CLI-1", "D-16"))
                for name in NAMES
            ),
        ),
        transactions=(
            *(verdict("exit/alice", name, height) for name, height in TIMELINE),
            verdict("refused/early", "state:r@0", None, "bad-txns-nonfinal, non-BIP68-final <1>"),
        ),
        exits=exits,
        races=(
            RaceResult("race/root", "The newest wins.", 0, "state:r@1", "state:r@1", True),
            RaceResult("race/late", "Too late by a block.", 0, "state:r@0", "state:r@0", True),
        ),
        messages=Messages(count=412, bytes=81_000),
        seconds=12.5,
    )
