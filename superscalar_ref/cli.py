"""The command line: ``superscalar-ref COMMAND …``.

Each command is one module of ``superscalar_ref.commands`` with ``configure(parser)`` and ``run(args) -> exit code``;
only the module of the chosen command is imported, so that starting costs little.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from superscalar_ref import __version__
from superscalar_ref.errors import InputError, SuperscalarError, one_line

COMMANDS = {
    "verify": "build, sign, fund, exit and attack a factory on Bitcoin Core's consensus code",
    "tree": "plan the tree of a factory: transactions, exit times, fees, blast radius",
    "update": "what an update of a node re-makes, who must sign it, and which counters it uses up",
    "machines": "list the state machines, or show one",
    "diagrams": "draw the state machines, or check that the committed drawings are current",
    "check": "decide the properties as games, or show how a wrong design breaks one",
    "mutate": "make every single fault of the tables, and say who notices it",
    "finding": "print what was settled about a question, and repeat what it rests on",
    "why": "take a rule away, and show the shortest way to the loss that it prevents",
    "replay": "run a trace of 'check' as real transactions on Bitcoin Core's consensus code",
    "kit": "a client's exit kit as one file: write it, check it, leave by it alone",
    "ladder": "an LSP's ladders of a million clients in numbers: chain space, capital, who is absent, prices",
    "scenario": "a situation of a factory's life, played with real transactions on Bitcoin Core's consensus code",
    "tower": "a watchtower as a process: lines of messages and blocks in, transactions and answers out",
    "vectors": "check files of test vectors against this implementation, or make our own",
    "conform": "ask another implementation every vector, and judge its answers",
    "chapters": "make what is generated in the text of the specification, or check that it is current",
    "report": "one HTML file for a reviewer: text, tables, verdicts, and an explorer; needs no network",
    "trace": "each requirement with its code, tests and vectors; unknown and doubled ids",
}


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and leave with exit code 2."""
        self.exit(2, one_line(f"{self.prog}: {message} [see {self.prog} --help]") + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 1 something is off, 2 bad input."""
    _write_any_letter()
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = OneLineParser(prog="superscalar-ref", description="The specification of SuperScalar that runs.")
    parser.add_argument("--version", action="version", version=f"superscalar-ref {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name, says in COMMANDS.items():
        sub = commands.add_parser(name, help=says, description=says)
        if name == chosen:
            module = importlib.import_module(f"superscalar_ref.commands.{name}")
            module.configure(sub)
    args = parser.parse_args(arguments)
    try:
        code = int(module.run(args))
        # Here, where a failure can still be said.
        print(end="", flush=True)
    except SuperscalarError as error:
        _say(args.command, str(error))
        return error.exit_code
    except BrokenPipeError:
        _drop_output()
        return 1
    except OSError as error:
        why = error.strerror or str(error)
        if error.filename is not None:
            wrong = InputError(str(error.filename), why, "file")
            _say(args.command, str(wrong))
            return wrong.exit_code
        _drop_output()
        _say(args.command, f"the output cannot be written: {why}")
        return 1
    except KeyboardInterrupt:
        _say(args.command, "interrupted")
        return 130
    return code


def _say(command: str, text: str) -> None:
    print(one_line(f"superscalar-ref {command}: {text}"), file=sys.stderr)


def _write_any_letter() -> None:
    """Write as an escape what the terminal's encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Send what is still buffered nowhere, so that Python does not fail on it once more at its end."""
    own = sys.__stdout__
    if own is not None and sys.stdout is own:
        os.dup2(os.open(os.devnull, os.O_WRONLY), own.fileno())


if __name__ == "__main__":
    sys.exit(main())
