"""``superscalar-ref update``: what an update of a node re-makes, who must sign, and what it uses up.

Exit code 0 when the update can be made, 1 when the node's counter is used up (with what remains), 2 when an argument
makes no sense.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from superscalar_ref.errors import InputError

if TYPE_CHECKING:
    from superscalar_ref.protocol.odometer import Odometer
    from superscalar_ref.protocol.update import Move, Update
    from superscalar_ref.verify.example import Example

MOST_NAMES = 12
"""Names of a kind that are printed; ``--json`` has all."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "Paths of nodes are those of 'tree': r is the root, r.0 its first child. Without --node: all of them."
    )
    parser.add_argument("--plan", type=Path, required=True, metavar="FILE", help="a factory, as 'verify' takes it")
    parser.add_argument("--node", metavar="PATH", help="the node to update: a leaf, or a state node above leaves")
    parser.add_argument("--client", metavar="NAME", help="the leaf of this client, instead of --node")
    parser.add_argument(
        "--counters", default="", metavar="P=N,…", help="indices that are reached already (default: all 0)"
    )
    parser.add_argument(
        "--move", action="append", default=[], metavar="LEAF:LEAF:SAT", help="move stock between leaves (repeatable)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(args: argparse.Namespace) -> int:
    """Work out, print, and return 0. Raises ProtocolError (exit code 1) when no index is left, else InputError (2)."""
    from superscalar_ref.errors import ProtocolError  # noqa: PLC0415  # only here
    from superscalar_ref.protocol.update import work_out  # noqa: PLC0415
    from superscalar_ref.verify.example import load_example  # noqa: PLC0415

    example = load_example(args.plan)
    odometer = _odometer(example, args.counters)
    moves = [_move(text) for text in args.move]
    node = _node(example, args)
    if node is not None:
        update = work_out(example.terms(), odometer, example.contents(), node, moves)
        print(json.dumps(as_json(update), indent=2) if args.json else "\n".join(_lines(update)))
        return 0
    if moves:
        raise InputError("--move", "belongs to one update: name its --node", "arguments")
    rows: list[dict[str, Any]] = []
    for path, _ in odometer.indices:
        try:
            rows.append(as_json(work_out(example.terms(), odometer, example.contents(), path)))
        except ProtocolError as error:
            rows.append({"node": path, "exhausted": error.detail})
    print(json.dumps({"updates": rows}, indent=2) if args.json else "\n".join(_table(rows)))
    return 0


def as_json(update: Update) -> dict[str, Any]:
    """The update for programs: locks in blocks, amounts in sat."""
    kinds = sorted({str(template.kind) for template in update.made.values()})
    return {
        "node": update.node,
        "signers": list(update.signers),
        "counters": [
            {
                "node": counter.path,
                "before": counter.before,
                "after": counter.after,
                "lock_before_blocks": counter.lock_before,
                "lock_after_blocks": counter.lock_after,
                "updates_left": counter.left,
            }
            for counter in update.counters
        ],
        "made": {
            kind: [name for name, template in update.made.items() if str(template.kind) == kind] for kind in kinds
        },
        "poisoned": list(update.poisoned),
        "sessions": len(update.made) + len(update.poisoned),
        "contents": {
            path: {
                "channels": {
                    one.client: {"to_client_sat": one.to_client, "to_lsp_sat": one.to_lsp} for one in leaf.channels
                },
                "stocks_sat": list(leaf.stocks),
            }
            for path, leaf in update.contents.items()
        },
    }


def _node(example: Example, args: argparse.Namespace) -> str | None:
    if args.client is None:
        return str(args.node) if args.node is not None else None
    if args.node is not None:
        raise InputError("--client", "names a leaf, and so does --node: give one of them", "arguments")
    if args.client not in example.tree.clients:
        raise InputError(
            "--client", f"there is no '{args.client}'; there are {', '.join(example.tree.clients)}", "R-SHAPE"
        )
    return example.tree.leaf_of(args.client).path


def _odometer(example: Example, text: str) -> Odometer:
    from superscalar_ref.protocol.odometer import Odometer  # noqa: PLC0415

    states = example.parameters.number("states_per_layer")
    fresh = Odometer.new(example.tree, states)
    reached: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        path, _, number = part.partition("=")
        if path not in dict(fresh.indices):
            raise InputError("--counters", f"'{path}' has no counter in this tree", "R-ODOMETER")
        if not number.isascii() or not number.isdigit() or int(number) >= states:
            raise InputError("--counters", f"'{part}': an index is from 0 to {states - 1}", "R-ODOMETER")
        reached[path] = int(number)
    return Odometer(example.tree, states, tuple((path, reached.get(path, 0)) for path, _ in fresh.indices))


def _move(text: str) -> Move:
    from superscalar_ref.protocol.update import Move  # noqa: PLC0415

    parts = text.split(":")
    if len(parts) != 3 or not (parts[2].isascii() and parts[2].isdigit()):
        raise InputError("--move", f"'{text}' is not LEAF:LEAF:SAT, such as r.0.0:r.0.1:5000", "arguments")
    return Move(parts[0], parts[1], int(parts[2]))


def _lines(update: Update) -> Iterator[str]:
    yield f"update of            {update.node}"
    yield f"must sign            {', '.join(update.signers)} ({len(update.signers)}, all online)"
    for number, counter in enumerate(update.counters):
        left = "this was the last" if counter.left == 0 else f"{counter.left} left after it"
        yield (
            f"{'counters' if number == 0 else '':<20} {counter.path}: index {counter.before} → {counter.after}, lock "
            f"{counter.lock_before} → {counter.lock_after} blocks; {left}"
        )
    answer = as_json(update)
    for number, (kind, names) in enumerate(answer["made"].items()):
        yield f"{'made new' if number == 0 else '':<20} {len(names):>4} {kind:<11} {_some(names)}"
    yield f"{'poisoned':<20} {len(update.poisoned):>4} {'poison':<11} {_some(answer['poisoned'])}"
    yield f"signing sessions     {answer['sessions']}; the poisons last, once the rest is held by all (D-10)"
    for number, (path, leaf) in enumerate(update.contents.items()):
        stocks = ", ".join(f"{sats:,}" for sats in leaf.stocks)
        sides = ", ".join(f"{one.client} {one.to_client:,} + {one.to_lsp:,}" for one in leaf.channels)
        yield f"{'leaves afterwards' if number == 0 else '':<20} {path}: {sides}; stock {stocks} sat"


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown}, …"


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{'node':<14}{'index':>10}{'signers':>9}{'kickoffs':>10}{'states':>8}{'sessions':>10}{'restarts':>10}"
    for row in rows:
        if "exhausted" in row:
            yield f"{row['node']:<14}  {row['exhausted']}"
            continue
        own, *below = row["counters"]
        made = row["made"]
        yield (
            f"{row['node']:<14}{own['before']:>6} → {own['after']}{len(row['signers']):>9}"
            f"{len(made.get('kickoff', ())):>10}{len(made.get('state', ())):>8}{row['sessions']:>10}{len(below):>10}"
        )
