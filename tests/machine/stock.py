"""A small machine for the tests: a stock whose sales are counted. Its rules cover every kind of row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from superscalar_ref.machine.bind import bind
from superscalar_ref.machine.step import BoundMachine
from superscalar_ref.machine.types import Action, Event, Rules
from superscalar_ref.spec.load import load_machine
from superscalar_ref.spec.table import Machine

TABLE = """\
[machine]
name = "stock"
title = "Liquidity stock of a leaf"
subject = "one stock output and what is chained on it"
initial = "unsold"
source = ["P1242 'Pseudo-Spilman Factories At Leaves'"]

[states.unsold]
says = "Nothing has been sold from this output."
[states.chained]
says = "The newest link holds what is left."
[states.spent]
final = true
says = "It is gone."

[guards.amount_available]
says = "The stock holds what is sold."
[guards.takes_all]
says = "Nothing would be left."
[effects.record_spend]
says = "Make the spend durable."
[effects.append_link]
says = "The link holds what is left."
[effects.send_link]
says = "Hand the link to the buyer."

[[transitions]]
id = "STK-1"
from = ["unsold", "chained"]
event = "sell"
by = "lsp"
to = "spent"
guards = ["amount_available", "takes_all"]
effects = ["record_spend", "append_link", "send_link"]
rule = "A sale of all MUST end the stock."

[[transitions]]
id = "STK-2"
from = ["unsold", "chained"]
event = "sell"
by = "lsp"
to = "chained"
guards = ["amount_available"]
effects = ["record_spend", "append_link", "send_link"]
rule = "A signer MUST have stored the spend before its signature leaves it."
why = "A crash | a restore."

[[transitions]]
id = "STK-3"
from = ["chained"]
event = "confirm"
by = ["chain", "lsp"]
to = "chained"
rule = "A confirmation changes nothing."
"""


@dataclass(frozen=True)
class Stock:
    """The context: what is left, and what is recorded."""

    status: str = "unsold"
    left: int = 3
    recorded: tuple[int, ...] = ()


@dataclass(frozen=True)
class RoledStock(Stock):
    """A context that knows who is who."""

    def role_of(self, name: str) -> str:
        return {"L": "lsp", "block": "chain"}.get(name, "client")


def rules() -> Rules:
    """The functions of the table."""
    made = Rules("stock")

    @made.guard
    def amount_available(context: Stock, event: Event) -> bool:
        return context.left >= _amount(event)

    @made.guard
    def takes_all(context: Stock, event: Event) -> bool:
        return context.left == _amount(event)

    @made.effect
    def record_spend(context: Stock, event: Event) -> tuple[Stock, tuple[Action, ...]]:
        record = Action("persist", "spend", fields=(("amount", _amount(event)),))
        return replace(context, recorded=(*context.recorded, _amount(event))), (record,)

    @made.effect
    def append_link(context: Stock, event: Event) -> tuple[Stock, tuple[Action, ...]]:
        if event["amount"] == 2:
            raise OSError("the disk is full")
        return replace(context, left=context.left - _amount(event)), ()

    @made.effect
    def send_link(context: Stock, event: Event) -> tuple[Stock, tuple[Action, ...]]:
        return context, (Action("send", "link", to="A"),)

    return made


def _amount(event: Event) -> int:
    value = event["amount"]
    assert isinstance(value, int)
    return value


def write(directory: Path, text: str = TABLE, name: str = "stock") -> Path:
    """Write a table into a spec directory, and return that directory."""
    (directory / "machines").mkdir(parents=True, exist_ok=True)
    (directory / "machines" / f"{name}.toml").write_text(text, encoding="utf-8")
    return directory


def table(directory: Path, text: str = TABLE) -> Machine:
    """Write and load the table."""
    return load_machine("stock", write(directory, text))


def machine(directory: Path, text: str = TABLE) -> BoundMachine[Any]:
    """Write, load and bind the table."""
    return bind(table(directory, text), rules())


def sell(amount: int, by: str = "L") -> Event:
    """A sale of ``amount`` units."""
    return Event.of("sell", by, amount=amount)


CONFIRM = Event.of("confirm", "block", amount=0)
