"""The command line: ``superscalar-ref COMMAND …``.

Each command is one module of ``superscalar_ref.commands`` with ``configure(parser)`` and ``run(args) -> exit code``;
only the module of the chosen command is imported, so that starting costs little.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from superscalar_ref import __version__
from superscalar_ref.errors import SuperscalarError

COMMANDS = {
    "verify": "build, sign, fund, exit and attack a factory on Bitcoin Core's consensus code",
    "tree": "plan the tree of a factory: transactions, exit times, fees, blast radius",
    "machines": "list the state machines, or show one",
    "diagrams": "draw the state machines, or check that the committed drawings are current",
    "check": "decide the properties as games, or show how a wrong design breaks one",
    "why": "take a rule away, and show the shortest way to the loss that it prevents",
    "replay": "run a trace of 'check' as real transactions on Bitcoin Core's consensus code",
    "vectors": "check files of test vectors against this implementation",
}


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and leave with exit code 2."""
        self.exit(2, f"{self.prog}: {message} [see {self.prog} --help]\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 1 something is off, 2 bad input."""
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
        return int(module.run(args))
    except SuperscalarError as error:
        print(f"superscalar-ref {args.command}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 1
    except KeyboardInterrupt:
        print(f"superscalar-ref {args.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
