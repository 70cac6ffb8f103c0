"""``superscalar-ref tree``: plan the tree of a factory, and refuse one whose worst exit takes too long.

Exit code 0 when the shape fits, 1 when it does not (the plan is printed all the same, and the reason with the nearest
shape that fits), 2 when an argument makes no sense.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from superscalar_ref.errors import InputError, ProtocolError
from superscalar_ref.protocol.plan import Exit, Limits, Plan, Suggestion, Timing, nearest, plan
from superscalar_ref.protocol.shape import Shape
from superscalar_ref.report import treedraw
from superscalar_ref.report.treedraw import count
from superscalar_ref.spec.load import load_parameters
from superscalar_ref.spec.parameters import Parameters, ParameterSet

BLOCKS_A_DAY = 144
MOST_CLIENTS = 100_000
"""Far beyond any ceremony; stops a slip of the keyboard from filling the memory."""
MOST_ROWS = 16
"""Rows of the table of exits."""

MEASURES: tuple[tuple[str, Callable[[Exit], int]], ...] = (
    ("transactions", lambda exit_: exit_.transactions),
    ("vbytes", lambda exit_: exit_.vbytes),
    ("fee (sat)", lambda exit_: exit_.fee_sat),
    ("locks (blocks)", lambda exit_: exit_.lock_blocks),
    ("exit (blocks)", lambda exit_: exit_.exit_blocks),
    ("others dragged", lambda exit_: len(exit_.dragged)),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``tree``."""
    parser.epilog = (
        "The list of arities is root first; its last entry repeats for as long as clients are left over. Wide levels "
        "belong near the root, narrow ones near the leaves."
    )
    parser.add_argument("--clients", required=True, metavar="N", help="number of clients")
    parser.add_argument("--arity", required=True, metavar="A,B,…", help="children of a node at each level, root first")
    parser.add_argument(
        "--static", default="0", metavar="N", help="how many levels at the top carry no counter (default 0)"
    )
    parser.add_argument(
        "--leaf-k", default="1", metavar="K", help="a leaf has up to K² clients and K stock outputs (default 1)"
    )
    parser.add_argument("--step", metavar="BLOCKS", help="lock between two states of a layer")
    parser.add_argument("--states", metavar="N", help="states of a layer")
    parser.add_argument("--feerate", metavar="SAT", help="fee rate of the tree's transactions, sat per vbyte")
    parser.add_argument("--margin", metavar="BLOCKS", help="blocks to keep free under the ceiling")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--svg", metavar="PATH", help="write a drawing")


def run(args: argparse.Namespace) -> int:
    """Plan, print, and return 0. Raises ``ProtocolError`` when the shape does not fit, else ``InputError``."""
    parameters = load_parameters()
    planned = _plan(args, parameters.defaults())
    covered = in_budget(planned, parameters)
    suggestion = None if planned.fits else nearest(planned)
    arguments = "" if suggestion is None else suggestion.arguments(len(planned.tree.clients)) + _kept(args)
    if args.svg is not None:
        _write(args.svg, treedraw.svg(planned.tree))
    if args.json:
        print(json.dumps(as_json(planned, covered, suggestion, arguments)))
    else:
        print("\n".join(_lines(planned, covered)))
        if args.svg is not None:
            print(f"\ndrawing: {args.svg}")
    if planned.fits:
        return 0
    sys.stdout.flush()
    raise ProtocolError("R-EXIT-CEILING", "EXIT_TOO_LONG", f"{planned.reason()}; {_advice(suggestion, arguments)}")


def in_budget(planned: Plan, parameters: ParameterSet) -> bool:
    """Say whether the exit fits its budget when blocks are slow: ``R-EXIT-BUDGET`` on the plan's worst path.

    ``fits`` counts one block for each transaction; this constraint counts looks, confirmations and sales as
    well. The budget is what the ceiling leaves after the margin.
    """
    worst = max(planned.exits, key=lambda exit_: exit_.exit_blocks)
    path = planned.tree.path_to(worst.client)
    values = parameters.defaults().as_dict() | {
        "dw_layers": sum(node.has_counter for node in path),
        "static_levels": sum(not node.has_counter for node in path),
        "step_blocks": planned.timing.step_blocks,
        "states_per_layer": planned.timing.states,
        "exit_budget_blocks": planned.limits.longest_exit,
    }
    return parameters.constraint("R-EXIT-BUDGET").holds(values)


def as_json(
    planned: Plan, covered: bool, suggestion: Suggestion | None = None, arguments: str = ""
) -> dict[str, object]:
    """The plan for programs: times in blocks, ``exits`` in the clients' order."""
    shape = planned.tree.shape
    answer: dict[str, object] = {
        "clients": len(planned.tree.clients),
        "levels": [{"arity": level.arity, "kind": level.kind} for level in shape.levels],
        "leaf_k": shape.leaf_k,
        "step_blocks": planned.timing.step_blocks,
        "states": planned.timing.states,
        "feerate_sat_per_vb": planned.feerate,
        "depth": planned.tree.depth,
        "transactions": planned.tree.transactions,
        "dw_layers": planned.dw_layers,
        "worst_lock_blocks": planned.worst_lock_blocks,
        "worst_exit_blocks": planned.worst_exit_blocks,
        "ceiling_blocks": planned.limits.ceiling_blocks,
        "margin_blocks": planned.limits.margin_blocks,
        "fits": planned.fits,
        "in_budget": covered,
        "exits": [
            {
                "client": exit_.client,
                "transactions": exit_.transactions,
                "vbytes": exit_.vbytes,
                "fee_sat": exit_.fee_sat,
                "lock_blocks": exit_.lock_blocks,
                "exit_blocks": exit_.exit_blocks,
                "dragged": list(exit_.dragged),
            }
            for exit_ in planned.exits
        ],
    }
    if not planned.fits:
        answer["rule"] = "R-EXIT-CEILING"
        answer["reason"] = planned.reason()
        answer["nearest"] = None if suggestion is None else _suggestion_json(suggestion, arguments)
    return answer


def _suggestion_json(suggestion: Suggestion, arguments: str) -> dict[str, object]:
    return {
        "arity": list(suggestion.arities),
        "static": suggestion.static,
        "leaf_k": suggestion.leaf_k,
        "step_blocks": suggestion.timing.step_blocks,
        "states": suggestion.timing.states,
        "changes": suggestion.changes,
        "words": suggestion.words,
        "arguments": arguments,
    }


def _plan(args: argparse.Namespace, defaults: Parameters) -> Plan:
    def given(option: str, text: str | None, name: str) -> int:
        if text is None:
            return defaults.number(name)
        number = _whole(option, text)
        fault = defaults.definition[name].fault(number)
        if fault is not None:
            raise InputError(option, fault, name)
        return number

    clients = _whole("--clients", args.clients)
    if not 1 <= clients <= MOST_CLIENTS:
        raise InputError("--clients", f"must be from 1 to {MOST_CLIENTS}, not {clients}", "R-SHAPE")
    arities = tuple(_whole("--arity", part) for part in args.arity.split(","))
    shape = Shape.of(arities, _whole("--static", args.static), _whole("--leaf-k", args.leaf_k))
    timing = Timing(given("--step", args.step, "step_blocks"), given("--states", args.states, "states_per_layer"))
    limits = Limits(defaults.number("exit_ceiling_blocks"), given("--margin", args.margin, "exit_margin_blocks"))
    feerate = given("--feerate", args.feerate, "tree_feerate_sat_per_vb")
    return plan(shape, [f"c{number}" for number in range(1, clients + 1)], timing, limits, feerate)


def _whole(option: str, text: str) -> int:
    """Read a whole number in plain decimal digits. Raises ``InputError``."""
    digits = text.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        raise InputError(option, f"'{text}' is not a whole number of at most 9 digits", "R-SHAPE")
    return int(text)


def _write(path: str, content: str) -> None:
    try:
        Path(path).write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError("--svg", f"cannot write {path}: {error.strerror}", "file") from error


def _kept(args: argparse.Namespace) -> str:
    """The options that a suggestion does not touch, as they were given."""
    options = (("--feerate", args.feerate), ("--margin", args.margin))
    return "".join(f" {option} {text}" for option, text in options if text is not None)


def _advice(suggestion: Suggestion | None, arguments: str) -> str:
    if suggestion is None:
        return "no shape of version-3 transactions fits, however short its locks"
    return f"the nearest shape that fits: {suggestion.words}: superscalar-ref tree {arguments}"


def _lines(planned: Plan, covered: bool) -> Iterator[str]:
    shape, tree, timing, limits = planned.tree.shape, planned.tree, planned.timing, planned.limits
    levels = ", ".join(f"{level.arity} {level.kind}" for level in shape.levels)
    yield f"levels, root first    {levels} (then {shape.levels[-1].arity} dw for as long as clients are left)"
    yield (
        f"leaf                  k = {shape.leaf_k}: up to {count(shape.leaf_capacity, 'client')}, "
        f"{count(shape.leaf_k, 'stock output')}"
    )
    yield f"locks                 step {timing.step_blocks} blocks, {timing.states} states a layer"
    yield f"fee rate              {planned.feerate} sat a vbyte"
    yield f"clients               {len(tree.clients)}"
    yield f"depth                 {count(tree.depth, 'step')} from the root to the deepest leaf"
    yield f"transactions          {tree.transactions} in the whole tree, without the funding transaction"
    yield f"DW layers             {planned.dw_layers} on the worst path, the leaf's included"
    yield f"worst locks           {_time(planned.worst_lock_blocks)}"
    yield f"worst exit            {_time(planned.worst_exit_blocks)}, with one block for each transaction"
    yield f"ceiling               {limits.ceiling_blocks} blocks, of which {limits.margin_blocks} stay free"
    yield f"fits                  {'yes' if planned.fits else 'NO'}"
    verdict = "fits too" if covered else "does NOT fit"
    yield f"with slow blocks      {verdict}: counting looks, confirmations and sales (R-EXIT-BUDGET)"
    yield ""
    yield f"{'an exit alone':<22}{'min':>10}{'median':>10}{'max':>10}"
    for name, measure in MEASURES:
        values = [measure(exit_) for exit_ in planned.exits]
        yield f"{name:<22}{min(values):>10}{median(values):>10g}{max(values):>10}"
    yield ""
    yield from _table(planned)
    yield ""
    yield from treedraw.text(tree)


def _table(planned: Plan) -> Iterator[str]:
    """Clients whose exits have the same numbers share a row."""
    rows: dict[tuple[int, ...], list[str]] = {}
    for exit_ in planned.exits:
        rows.setdefault(tuple(measure(exit_) for _, measure in MEASURES), []).append(exit_.client)
    yield f"{'clients':<22}" + "".join(f"{name:>16}" for name, _ in MEASURES)
    for numbers, clients in list(rows.items())[:MOST_ROWS]:
        alike = clients[0] if len(clients) == 1 else f"{len(clients)} such as {clients[0]}"
        yield f"{alike:<22}" + "".join(f"{number:>16}" for number in numbers)
    if len(rows) > MOST_ROWS:
        yield f"… {count(len(rows) - MOST_ROWS, 'more row')}; --json lists every client"


def _time(blocks: int) -> str:
    return f"{blocks} blocks ({blocks / BLOCKS_A_DAY:.1f} days)"
