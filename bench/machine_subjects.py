"""What is measured of the chain, the tables and the checker: as in ``signing_subjects``."""

from __future__ import annotations

from factory import LSP, secret
from measure import Measured, Rival, compare

from superscalar_ref.bitcoin.sighash import taproot_sighash
from superscalar_ref.bitcoin.taproot import p2tr_from_internal
from superscalar_ref.bitcoin.transaction import TxInput, TxOutput, with_witness
from superscalar_ref.bitcoin.transaction import build as transaction
from superscalar_ref.chain.interface import TxOut
from superscalar_ref.chain.kernel import KernelLedger, verify_input
from superscalar_ref.check.arena import Arena
from superscalar_ref.check.game import solve
from superscalar_ref.machine.step import step
from superscalar_ref.machine.strict import StrictMachine
from superscalar_ref.machine.types import Event
from superscalar_ref.protocol.participant import machines
from superscalar_ref.protocol.session import Session, Task
from superscalar_ref.protocol.transaction import Kind, Outpoint, Output, Role, Spend, Template


class Forks:
    """Copies of one ledger, a fresh one for each repeat."""

    def __init__(self, start: KernelLedger) -> None:
        self.start = start
        self.now = start.fork()

    def renew(self) -> None:
        """Drop the last copy and make another; not measured."""
        self.now.close()
        self.now = self.start.fork()


def transactions(repeats: int) -> Measured:
    """A block of spends through Bitcoin Core's consensus code, against its script check alone."""
    spends, amount = 1_000, 1_000_000
    key = secret("money")
    script = p2tr_from_internal(key.x_only)
    forks = Forks(KernelLedger.start([TxOut(amount, script)] * spends))
    signed = []
    for fund in forks.start.funds:
        unsigned = transaction(3, [TxInput(fund.txid[::-1].hex(), fund.index)], [TxOutput(amount, script)])
        sighash = taproot_sighash(unsigned, 0, [TxOutput(amount, script)])
        signed.append(with_witness(unsigned, 0, (key.sign_taproot(sighash),)).serialized)

    def check() -> None:
        if not all(verify_input(raw, 0, [TxOut(amount, script)]) for raw in signed):
            raise AssertionError("a signature is not valid")

    rivals = {"script checks alone": Rival(check), "one block": Rival(lambda: forks.now.mine(signed), forks.renew)}
    says = f"a block of {spends} key path spends, in the kernel on a regtest chain of {forks.start.height} blocks"
    return compare("kernel-transactions", says, rivals, repeats, {"transactions": ("one block", spends)})


def blocks(repeats: int) -> Measured:
    """Empty blocks on a low chain and on a higher one: regtest checks its whole index with each block."""
    empty, low, high = 100, 100, 1_000
    chains = {f"on {height} blocks": Forks(KernelLedger.start(height=height)) for height in (low, high)}
    rivals = {
        label: Rival(lambda forks=forks: forks.now.advance(empty), forks.renew)  # type: ignore[misc]
        for label, forks in chains.items()
    }
    counts = {f"blocks {label}": (label, empty) for label in chains}
    return compare("kernel-blocks", f"{empty} empty blocks, in the kernel", rivals, repeats, counts)


def tables(repeats: int) -> Measured:
    """The pure step of a table, against a look-up in a dict and against the ``transitions`` binding."""
    table = machines().session
    others = [f"client{number}" for number in range(100)]
    everyone = frozenset({LSP, *others})
    start = Session("unopened", LSP, Task("state", "message", "outpoint", "state 0", everyone, LSP, everyone))
    attempt = Event.of("open", LSP, attempt=1)
    events = [attempt, *(Event.of("nonce", other, attempt=1) for other in others), Event.of("sign", LSP)]
    rounds = 20

    def pure() -> str:
        for _ in range(rounds):
            context = start
            for event in events:
                context = step(table, context, event).context
        return context.status

    pairs = []
    context = start
    for event in events:
        pairs.append((context.status, event.name))
        context = step(table, context, event).context
    rows = dict(table.rows)

    def look_up() -> None:
        for _ in range(rounds):
            for pair in pairs:
                rows[pair]

    running: list[StrictMachine[Session]] = []

    def make() -> None:
        running[:] = [StrictMachine(table, start) for _ in range(rounds)]

    def strict() -> str:
        for machine in running:
            for event in events:
                machine.handle(event)
        return machine.state

    make()
    if not pure() == strict() == context.status:
        raise AssertionError("the pure step and its binding differ")
    rivals = {"pure step": Rival(pure), "transitions": Rival(strict, make), "dict look-up": Rival(look_up)}
    count = rounds * len(events)
    counts = {label: (label, count) for label in rivals}
    says = f"the session table, {count} events of a collector: guards and effects in the step, none in the look-up"
    return compare("table-step", says, rivals, repeats, counts)


def checker(repeats: int) -> Measured:
    """Positions a second of the game on the chain, on a race between the states of one node."""
    both = frozenset({"A", "L"})
    states, step = 4, 40

    def pays(owner: str, units: int) -> Output:
        return Output(Role.WALLET, units, frozenset({owner}), owner=owner)

    held = (Output(Role.TREE, 10, both),)
    templates = [Template("kickoff", Kind.KICKOFF, (Spend(Outpoint("funding", 0)),), held, both)]
    for index in range(states):
        spend = Spend(Outpoint("kickoff", 0), relative_lock=step * (states - 1 - index))
        outputs = (pays("A", 3 + index), pays("L", 7 - index))
        templates.append(Template(f"state{index}", Kind.STATE, (spend,), outputs, both))
    names = frozenset(template.name for template in templates)
    arena = Arena(
        templates=tuple(templates),
        hero="A",
        owed=3 + states - 1,
        hero_holds=names,
        adversary_holds=names,
        affordable=names,
        absence=step // 2,
        exit_absence=2,
        confirmation=2,
        coins={Outpoint("funding", 0): 0},
    )
    found = solve(arena)
    says = f"the game of a race between {states} states, steps of {step} blocks: {found.states} positions"
    rivals = {"solve": Rival(lambda: solve(arena))}
    return compare("checker", says, rivals, repeats, {"positions": ("solve", found.states)})
