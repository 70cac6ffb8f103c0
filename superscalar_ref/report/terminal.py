"""A run in a terminal: one line a check, then the exits as a table, then the verdict.

Everything from outside goes through ``rich``'s :class:`~rich.text.Text`, never through its markup.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from superscalar_ref.report.result import Check, RaceResult, TransactionVerdict, VerifyResult


def check_line(check: Check) -> Text:
    """One line about a check: mark, id, what had to hold, how it went, and the rules that it bears on."""
    line = Text.assemble(
        ("✓ ", "bold green") if check.passed else ("✗ ", "bold red"),
        (f"{check.id:<22} ", "cyan"),
        _flat(check.says),
    )
    if check.detail:
        line.append(f" · {_flat(check.detail)}", style="dim" if check.passed else "red")
    if check.rules:
        line.append(f" [{', '.join(check.rules)}]", style="dim")
    return line


def print_check(console: Console, check: Check) -> None:
    """Print one check as one line, however narrow the terminal is: a pipe must not see it broken."""
    console.print(check_line(check), soft_wrap=True)


def exits_table(result: VerifyResult) -> Table:
    """Every client's exit: blocks, transactions, vbytes, fees and amounts (sat), and who was dragged along."""
    table = Table(
        title="Exits, each alone from its stored kit (amounts in sat)",
        title_justify="left",
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("client", no_wrap=True, overflow="fold")
    for name in ("blocks", "txs", "vbytes", "fee", "owed", "owned"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("dragged on chain", overflow="fold")
    for exit_ in result.exits:
        table.add_row(
            Text(exit_.client),
            *(
                f"{number:,}"
                for number in (
                    exit_.blocks,
                    exit_.transactions,
                    exit_.vbytes,
                    exit_.fee_sat,
                    exit_.owed_sat,
                    exit_.owned_sat,
                )
            ),
            Text(", ".join(exit_.dragged) or "nobody"),
        )
    return table


def heights_lines(result: VerifyResult) -> list[Text]:
    """The height of every confirmation of the exits, one line for all clients whose exits went alike."""
    alike: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for exit_ in result.exits:
        steps = tuple((item.transaction.partition(":")[0], item.height) for item in exit_.confirmations)
        alike.setdefault(steps, []).append(exit_.client)
    return [
        Text.assemble((f"{', '.join(clients)}: ", "bold"), ", ".join(f"{kind} at {height}" for kind, height in steps))
        for steps, clients in alike.items()
    ]


def transactions_table(transactions: tuple[TransactionVerdict, ...]) -> Table:
    """Every transaction with what Bitcoin Core's code said of it (vbytes, fee in sat, height)."""
    table = Table(show_edge=False, pad_edge=False)
    for name in ("scenario", "transaction", "txid"):
        table.add_column(name, overflow="fold")
    for name in ("vbytes", "fee", "height"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Core's code", overflow="fold")
    for row in transactions:
        said = row.verdict if row.as_expected else f"{row.verdict} ({row.expected} was expected)"
        table.add_row(
            Text(row.scenario),
            Text(row.name),
            Text(row.txid),
            f"{row.vbytes:,}",
            f"{row.fee_sat:,}",
            "–" if row.height is None else str(row.height),
            Text(said, style="" if row.as_expected else "red"),
        )
    return table


def race_line(race: RaceResult) -> Text:
    """One line about a race: who won, and who had to."""
    line = Text.assemble(
        ("✓ ", "bold green") if race.passed else ("✗ ", "bold red"),
        (f"{race.scenario:<22} ", "cyan"),
        f"{_flat(race.says)} Older state {race.older_index}; {race.winner} confirmed",
    )
    if not race.passed:
        line.append(f", {race.expected_winner} had to", style="red")
    return line


def verdict_line(result: VerifyResult) -> Text:
    """The last line: how many checks hold, and in what time."""
    failed = result.failed()
    took = f"{len(result.transactions):,} transactions put to Bitcoin Core's code, {result.seconds:.1f} s"
    if result.passed:
        return Text.assemble((f"All {len(result.checks)} checks hold", "bold green"), f"; {took}")
    first = f", first {failed[0].id}" if failed else ""
    return Text.assemble((f"{len(failed)} of {len(result.checks)} checks fail{first}", "bold red"), f"; {took}")


def print_summary(console: Console, result: VerifyResult) -> None:
    """Print what a run ends with: the table of exits, what failed once more, and the verdict."""
    if result.exits:
        console.print(exits_table(result))
        console.print()
        for line in heights_lines(result):
            console.print(line, soft_wrap=True)
        console.print()
    for check in result.failed():
        print_check(console, check)
    console.print(verdict_line(result), soft_wrap=True)


def _flat(text: str) -> str:
    """Keep a text on its line, and free of what would move a terminal's cursor."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
