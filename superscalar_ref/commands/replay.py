"""``superscalar-ref replay TRACE``: a trace of ``check``, again, with real transactions and signatures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from superscalar_ref.errors import InputError, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from superscalar_ref.replay.form import Script
    from superscalar_ref.replay.outcome import Line, Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("trace", type=Path, metavar="TRACE", help="a file that 'check --trace' wrote")
    parser.add_argument(
        "--scale", type=int, default=10, metavar="N", help="blocks for each block of the trace (default: 10)"
    )
    parser.add_argument(
        "--spec", type=Path, metavar="DIR", help="the trace is about this copy of spec/, not about the package's"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for programs")


def run(args: argparse.Namespace) -> int:
    """Replay, print, and return 0: the chain agrees with the trace, 1: it does not, 3: there is nothing to replay.

    Raises InputError (exit code 2) for a file that is no trace or contradicts itself.
    """
    from rich.console import Console  # noqa: PLC0415  # with Bitcoin Core's code: not before they are needed

    from superscalar_ref.replay.form import read  # noqa: PLC0415
    from superscalar_ref.replay.player import replay  # noqa: PLC0415

    script = read(args.trace)
    try:
        outcome = replay(script, args.scale, args.spec)
    except SpecError:
        raise
    except InputError as error:
        raise InputError(str(args.trace), f"{error.place}: {error.problem}", error.rule) from None
    if args.json:
        print(json.dumps({"property": script.broken, "hero": script.hero, **outcome.as_json()}, indent=2))
    else:
        console = Console()
        for line in _story(script, outcome, args.scale):
            console.print(line, soft_wrap=True)
    return outcome.exit_code


def _story(script: Script, outcome: Outcome, scale: int) -> Iterator[Text]:
    """The trace once more, with heights, txids and what Bitcoin Core's code said."""
    from rich.text import Text  # noqa: PLC0415

    from superscalar_ref.replay.form import CEREMONIES, PAYMENTS, TOWERS  # noqa: PLC0415
    from superscalar_ref.replay.scale import UNIT_SAT  # noqa: PLC0415

    words = ", ".join(f"{name}: {word}" for name, word in script.choices.items())
    yield Text(
        _flat(f"{script.broken} is lost by {script.hero} in '{script.configuration}'{f' ({words})' * bool(words)}.")
    )
    if script.configuration not in (CEREMONIES, PAYMENTS, TOWERS):
        yield Text("The premise, in the checker's words; what follows from it is played:", style="dim")
        for number, says in enumerate(script.off_chain, start=1):
            yield Text(_flat(f"{number:3}. {says}."), style="dim")
        yield Text(_flat(f"     {script.hero} counts on {script.owed}."), style="dim")
    if script.configuration != CEREMONIES:
        yield Text(f"A unit is {UNIT_SAT:,} sat; a block of the game is {scale} blocks of the chain.", style="dim")
    for line in outcome.lines:
        yield _line(line)
    for party, amount in outcome.owned.items():
        yield Text(_flat(f"{party} owns {amount:,} sat; the trace: {outcome.expected.get(party, 0):,} sat."))
    for problem in outcome.problems:
        yield Text(_flat(f"✗ {problem}"), style="red")
    if outcome.cannot:
        yield Text(_flat(f"Cannot be replayed: {outcome.cannot}."), style="yellow")
    elif outcome.problems:
        yield Text("The chain disagrees with the trace.", style="bold red")
    else:
        yield Text("Real transactions and signatures end as the trace says.", style="bold green")


def _line(line: Line) -> Text:
    from rich.text import Text  # noqa: PLC0415

    from superscalar_ref.replay.outcome import CORE, MINED  # noqa: PLC0415

    game = "" if line.game is None else f" (block {line.game})"
    where = "" if line.height is None else f"height {line.height}{game}: "
    name = f" {line.name}" if line.name else ""
    if line.says == MINED:
        says = f"mined, from {line.who}:{name}"
    else:
        says = f"{line.who}{', ' if line.who == CORE else ' ' * bool(line.who)}{line.says}{name}"
    text = Text.assemble((where, "cyan"), _flat(says))
    if line.txid and line.says == MINED:
        text.append(f" {line.txid}", style="dim")
    if line.said:
        text.append(f" → {_flat(line.said)}", style="green" if line.right else "red")
    return text


def _flat(text: str) -> str:
    """Keep a text from a file on its line, and free of what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
