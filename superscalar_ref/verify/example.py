"""The file that names a factory for ``superscalar-ref verify``: clients, amounts, shape, parameters.

Whatever is wrong with it gives one ``InputError`` with file, line and rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superscalar_ref.errors import InputError, ProtocolError, SpecError
from superscalar_ref.protocol import plan as planning
from superscalar_ref.protocol.blueprint import (
    Channel,
    Economy,
    LeafContents,
    Locks,
    Terms,
    build,
    fresh_versions,
    funding_amount,
)
from superscalar_ref.protocol.shape import NodeKind, Shape, Tree, grow, stock_groups
from superscalar_ref.protocol.transaction import Outpoint
from superscalar_ref.protocol.weight import key_path_vbytes, lock_path_vbytes
from superscalar_ref.spec.load import load_parameters
from superscalar_ref.spec.parameters import Parameters
from superscalar_ref.spec.schema import check_schema
from superscalar_ref.spec.source import Document, read_document

LEAST_HEIGHT = 102
"""The first height at which a coinbase of a fresh regtest chain can be spent for certain."""
BLOCK_REWARD_SAT = 50 * 100_000_000
"""What one early block of the regtest chain pays: no coin of the example can be larger."""
LEAST_RESERVE_SAT = 1_000
"""A smaller coin cannot pay for a commitment and its child, and leave an output that is not dust."""
DEFAULTS: dict[str, int] = {"lsp_coin_sat": 10_000_000, "stock_sat": 100_000, "start_height": 120}


@dataclass(frozen=True)
class ClientPlan:
    """One client of the example (sat)."""

    name: str
    balance: int
    inbound: int
    reserve: int


@dataclass(frozen=True)
class Example:
    """A factory to be built, checked."""

    file: str
    name: str
    lsp: str
    coin: int
    stock: int
    start_height: int
    shape: Shape
    tree: Tree
    clients: tuple[ClientPlan, ...]
    parameters: Parameters
    planned: planning.Plan

    def contents(self) -> dict[str, LeafContents]:
        """What each leaf holds at the start."""
        by_name = {client.name: client for client in self.clients}
        return {
            leaf.path: LeafContents(
                tuple(Channel(name, by_name[name].balance, by_name[name].inbound) for name in leaf.clients),
                (self.stock,) * len(stock_groups(leaf, self.shape.leaf_k)),
            )
            for leaf in self.tree.leaves()
        }

    def economy(self) -> Economy:
        """Fees, anchors and dust, from the parameters."""
        number = self.parameters.number
        return Economy(number("tree_feerate_sat_per_vb"), number("anchor_sat"), number("dust_limit_sat"))

    def locks(self, height: int) -> Locks:
        """The locks of a factory that is agreed at ``height``."""
        number, word = self.parameters.number, self.parameters.word
        return Locks(
            step=number("step_blocks"),
            states=number("states_per_layer"),
            to_self_delay=number("to_self_delay_blocks"),
            end=height + number("life_blocks"),
            stock_lock=word("stock_lock"),
            stock_lock_blocks=number("stock_lock_blocks"),
            end_default=word("end_default"),
            expiry_gap=number("expiry_gap_blocks"),
            alternates=word("alternates"),
            height_step=number("height_step_blocks"),
        )

    def terms(self) -> Terms:
        """The terms as they will be proposed."""
        return Terms(
            self.name,
            self.lsp,
            self.tree,
            self.economy(),
            self.locks(self.start_height),
            ((Outpoint("coin", 0), self.coin),),
            self.parameters.number("transaction_version"),
        )


@contextmanager
def _at(document: Document, *place: str | int) -> Iterator[None]:
    """Give an error of a rule the file and line at which its cause stands."""
    try:
        yield
    except SpecError as error:
        raise InputError(error.place, error.problem, error.rule) from error
    except InputError as error:
        raise InputError(str(document.place(*place)), f"{error.place}: {error.problem}", error.rule) from error
    except ProtocolError as error:
        raise InputError(str(document.place(*place)), error.detail, error.rule) from error


def load_example(path: Path) -> Example:
    """Read and check an example. Raises ``InputError`` with file, line and rule."""
    with _at_file(path):
        document = read_document(path)
        check_schema(document, "example")
    data: dict[str, Any] = dict(document.data)
    settings = {**DEFAULTS, **data["factory"]}
    clients = _clients(document, data.get("clients", []), settings)
    shape, tree = _shape(document, data["shape"], clients)
    parameters, planned = _parameters(document, data.get("parameters", {}), shape, tree)
    _heights_and_coins(document, settings)
    example = Example(
        document.file,
        settings["name"],
        settings["lsp"],
        settings["lsp_coin_sat"],
        settings["stock_sat"],
        settings["start_height"],
        shape,
        tree,
        clients,
        parameters,
        planned,
    )
    _amounts(document, example)
    return example


@contextmanager
def _at_file(path: Path) -> Iterator[None]:
    try:
        yield
    except SpecError as error:
        raise InputError(error.place, error.problem, error.rule) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"cannot be read: {error}", "example.schema.json") from error


def _clients(document: Document, rows: list[dict[str, Any]], settings: dict[str, Any]) -> tuple[ClientPlan, ...]:
    most = load_parameters().defaults().number("clients_max")
    if not 1 <= len(rows) <= most:
        place = str(document.place("clients"))
        raise InputError(place, f"a factory has 1 to {most} clients, not {len(rows)}", "clients_max")
    seen: set[str] = {settings["lsp"]}
    clients = []
    for number, row in enumerate(rows):
        if row["name"] in seen:
            place = str(document.place("clients", number, "name"))
            raise InputError(place, f"the name {row['name']} is there twice", "R-SHAPE")
        seen.add(row["name"])
        clients.append(ClientPlan(row["name"], row["balance_sat"], row["inbound_sat"], row.get("reserve_sat", 0)))
    return tuple(clients)


def _shape(document: Document, row: dict[str, Any], clients: tuple[ClientPlan, ...]) -> tuple[Shape, Tree]:
    with _at(document, "shape"):
        shape = Shape.of(row["arity"], row.get("static", 0), row.get("leaf_k", 1))
        return shape, grow(shape, [client.name for client in clients])


def _parameters(
    document: Document, changes: dict[str, Any], shape: Shape, tree: Tree
) -> tuple[Parameters, planning.Plan]:
    parameters = load_parameters().defaults()
    static = sum(1 for node in tree.path_to(tree.clients[0]) if node.kind is NodeKind.STATIC)
    layers = max(tree.dw_layers_on_path(client) for client in tree.clients)
    names = parameters.definition
    for name, value in changes.items():
        place = str(document.place("parameters", name))
        if name in ("dw_layers", "static_levels"):
            raise InputError(place, f"'{name}' follows from the shape", "parameter")
        if name not in names:
            raise InputError(place, f"there is no parameter '{name}'", "parameter")
        fault = names[name].fault(value)
        if fault is not None:
            raise InputError(place, fault, name)
    merged = {**parameters.as_dict(), **changes}
    with _at(document, "shape"):
        timing = planning.Timing(int(merged["step_blocks"]), int(merged["states_per_layer"]))
        limits = planning.Limits(int(merged["exit_ceiling_blocks"]), int(merged["exit_margin_blocks"]))
        planned = planning.plan(shape, tree.clients, timing, limits, int(merged["tree_feerate_sat_per_vb"]))
        planned.require_fit()
    place = str(document.place("parameters"))
    fixed = {**changes, "dw_layers": layers, "static_levels": static}
    return parameters.with_changes(fixed, place), planned


def _heights_and_coins(document: Document, settings: dict[str, Any]) -> None:
    if settings["start_height"] < LEAST_HEIGHT:
        place = str(document.place("factory", "start_height"))
        problem = f"a coin can be spent from height {LEAST_HEIGHT} on, not at {settings['start_height']}"
        raise InputError(place, problem, "coinbase maturity")
    if settings["lsp_coin_sat"] > BLOCK_REWARD_SAT:
        place = str(document.place("factory", "lsp_coin_sat"))
        raise InputError(place, f"one regtest block pays {BLOCK_REWARD_SAT} sat at most", "block reward")


def _amounts(document: Document, example: Example) -> None:
    dust = example.economy().dust
    for number, client in enumerate(example.clients):
        capacity = client.balance + client.inbound
        for key, amount in (("balance_sat", client.balance), ("inbound_sat", client.inbound)):
            if 0 < amount < dust:
                place = str(document.place("clients", number, key))
                raise InputError(place, f"{amount} sat of {client.name} are dust: less than {dust} sat", "R-DUST")
        if capacity < 2 * dust:
            place = str(document.place("clients", number))
            problem = f"the channel of {client.name} holds {capacity} sat, at least {2 * dust} sat are needed"
            raise InputError(place, problem, "R-DUST")
        if 0 < client.reserve < LEAST_RESERVE_SAT:
            place = str(document.place("clients", number, "reserve_sat"))
            problem = f"{client.reserve} sat of {client.name} cannot pay for a child: at least {LEAST_RESERVE_SAT} sat"
            raise InputError(place, problem, "R-FEE")
        if client.reserve > BLOCK_REWARD_SAT:
            place = str(document.place("clients", number, "reserve_sat"))
            raise InputError(place, f"one regtest block pays {BLOCK_REWARD_SAT} sat at most", "block reward")
        sweep = example.economy().feerate * lock_path_vbytes(example.parameters.number("to_self_delay_blocks"))
        if 0 < client.balance < sweep + dust:
            place = str(document.place("clients", number, "balance_sat"))
            problem = f"{client.balance} sat of {client.name} cannot pay {sweep} sat for their sweep and be no dust"
            raise InputError(place, problem, "R-FEE")
    if example.stock < 2 * dust:
        place = str(document.place("factory", "stock_sat"))
        raise InputError(place, f"a stock of {example.stock} sat is dust: less than {2 * dust} sat", "R-DUST")
    terms = example.terms()
    with _at(document, "factory", "lsp_coin_sat"):
        need = funding_amount(terms, example.contents())
        fee = terms.economy.feerate * key_path_vbytes(2, anchors=0)
        if need + fee > example.coin:
            problem = f"the LSP's coin holds {example.coin} sat, the factory needs {need + fee} sat"
            raise InputError("amounts", problem, "R-FUNDING-COVERED")
        build(terms, fresh_versions(example.tree), example.contents())
