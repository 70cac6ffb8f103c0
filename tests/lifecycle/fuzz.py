"""``make fuzz``: stories for hours, spread over cores, from one shared database of examples.

Each process tells stories round after round, each round from a seed of its own. Interesting examples are kept in a
database that all processes (and the next run) share. A story that goes wrong is made shorter and written down as a text
and as a script that repeats it, ready for ``tests/lifecycle/cases/``. Counts add up over runs. Interrupt it any time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase
from hypothesis.stateful import run_state_machine_as_test

from superscalar_ref.errors import InputError

ROUND = 25
"""Stories in a round: so often a process looks whether it is to end, and writes its counts."""
SCRIPT = '''"""{title}"""

from tests.lifecycle.machine import Life
from tests.lifecycle.plans import Plan
from tests.lifecycle.trade import TradePlan
from tests.lifecycle.trading import Trading

{body}
'''


def database(folder: Path, redis: str) -> ExampleDatabase:
    """The examples: files, or a Redis server (``host:port``) that several machines share. Raises ``InputError``."""
    if not redis:
        return DirectoryBasedExampleDatabase(folder / "examples")
    host, _, port = redis.rpartition(":")
    try:
        from hypothesis.extra.redis import RedisExampleDatabase  # only where it is asked for
        from redis import Redis  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise InputError("--redis", "needs the package 'redis': pip install -e .[fuzz]", "fuzz") from error
    if not host or not port.isdigit():
        raise InputError("--redis", f"is HOST:PORT, not '{redis}'", "fuzz")
    return RedisExampleDatabase(Redis(host, int(port)))


def a_round(folder: Path, seed: int, stories: int, steps: int, redis: str = "") -> str:
    """Tell ``stories`` stories of up to ``steps`` steps: of a factory, or, by an odd seed, of payments over several.

    Returns the path of what went wrong; empty: all well.
    """
    from hypothesis import seed as seeded

    from tests.lifecycle.machine import Life
    from tests.lifecycle.trading import Trading

    chosen = settings(
        max_examples=stories,
        stateful_step_count=steps,
        database=database(folder, redis),
        deadline=None,
        phases=[Phase.reuse, Phase.generate, Phase.target, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    try:
        told = seeded(seed)(Trading if seed % 2 else Life)  # type: ignore[no-untyped-call,unused-ignore]
        run_state_machine_as_test(told, settings=chosen)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return str(write_down(folder, error))
    return ""


def write_down(folder: Path, error: BaseException) -> Path:
    """Write what went wrong as a text, and the script that repeats it. Returns the script's path."""
    first: BaseException = error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    told = str(first).strip() or type(first).__name__
    notes = "\n".join(getattr(first, "__notes__", ()))
    # Between the steps stand the lines of the story, which begin with neither.
    found = re.search(r"^state = (?:Life|Trading)\(\)$.*?^state\.teardown\(\)$", notes, re.DOTALL | re.MULTILINE)
    steps = [line for line in found[0].splitlines() if re.match(r"state\b| ", line)] if found else []
    title = told.splitlines()[-1].replace("\\", "/").replace('"', "'")[:100]
    if not title.endswith((".", "!", "?")):
        title += "."
    name = f"case_{hashlib.sha256(title.encode()).hexdigest()[:8]}"
    failures = folder / "failures"
    failures.mkdir(parents=True, exist_ok=True)
    (failures / f"{name}.txt").write_text(f"{type(first).__name__}: {told}\n", encoding="utf-8")
    script = failures / f"{name}.py"
    script.write_text(SCRIPT.format(title=title, body="\n".join(steps)), encoding="utf-8")
    return script


def _work(folder: Path, number: int, until: float, steps: int, redis: str, said: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tests.lifecycle import machine

    seeds = random.Random(f"{os.getpid()} {time.time_ns()}")
    while time.time() < until:
        machine.TOLD.clear()
        failed = a_round(folder, seeds.getrandbits(64), ROUND, steps, redis)
        said.put((number, dict(machine.TOLD), failed))


def _line(counts: Counter[str], failures: int, seconds: float) -> str:
    parts = ", ".join(f"{counts[name]:,} {name}" for name in sorted(counts))
    return f"{seconds / 60:.0f} min: {parts or 'no story yet'}; {failures} went wrong"


def main(argv: list[str] | None = None) -> int:
    """Run until the time is over or an interrupt; 0: all well, 1: a story went wrong."""
    parser = argparse.ArgumentParser(prog="make fuzz", description="Stories for hours.")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--minutes", type=float, default=60 * 24, metavar="M", help="default: a day")
    parser.add_argument("--steps", type=int, default=60, metavar="N", help="of a story, at most")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/fuzz"), metavar="DIR", help="examples, counts, failures"
    )
    parser.add_argument("--redis", default="", metavar="HOST:PORT", help="share the examples over a Redis server")
    args = parser.parse_args(argv)
    try:
        database(args.folder, args.redis)
    except InputError as error:
        parser.exit(2, f"make fuzz: {error}\n")
    args.folder.mkdir(parents=True, exist_ok=True)
    kept = args.folder / "counts.json"
    counts = Counter(json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else Counter()
    before, begun = counts["seconds"], time.time()
    failures: set[str] = set()
    context = multiprocessing.get_context("spawn")
    said: Any = context.SimpleQueue()
    work = [
        context.Process(
            target=_work,
            args=(args.folder, number, begun + 60 * args.minutes, args.steps, args.redis, said),
            daemon=True,
        )
        for number in range(args.cores)
    ]
    for one in work:
        one.start()
    # Whoever ends this process ends its workers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while any(one.is_alive() for one in work) or not said.empty():
            if said.empty():
                time.sleep(0.2)
                continue
            _, done, failed = said.get()
            counts.update(done)
            counts["seconds"] = before + int(time.time() - begun)
            kept.write_text(json.dumps(counts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            if failed and failed not in failures:
                failures.add(failed)
                text = Path(failed).with_suffix(".txt").read_text(encoding="utf-8")
                print(f"{text}\nrepeat it: python {failed}; keep it: cp {failed} tests/lifecycle/cases/", flush=True)
            shown = Counter({name: number for name, number in counts.items() if name != "seconds"})
            print(_line(shown, len(failures), counts["seconds"]), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
    finally:
        for one in work:
            one.terminate()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
