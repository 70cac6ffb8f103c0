"""DOT to SVG: by Graphviz's ``dot`` where it is installed, else by the ``graphviz-pure`` wheel."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from superscalar_ref.errors import InputError

_SECONDS = 60


def engine() -> Path | None:
    """Return the program that draws: ``dot``, else the wheel's, else None."""
    beside = (sysconfig.get_path("scripts"), str(Path(sys.executable).parent))
    for name, path in (("dot", None), *(("graphviz-pure", folder) for folder in beside), ("graphviz-pure", None)):
        found = shutil.which(name, path=path)
        if found:
            return Path(found)
    return None


def to_svg(dot: str) -> str:
    """Draw a DOT text as SVG; its last line is that of ``sealed``.

    Raises InputError when nothing that draws is installed, or when it fails.
    """
    program = engine()
    if program is None:
        raise InputError("dot", "neither Graphviz nor the graphviz-pure wheel is installed", "diagram-engine")
    try:
        done = subprocess.run(
            [str(program), "-Tsvg"],
            input=dot.encode("utf-8"),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(str(program), f"cannot draw: {error}", "diagram-engine") from None
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0 or "</svg>" not in text:
        problem = done.stderr.decode("utf-8", "replace").strip().split("\n")[0]
        raise InputError(str(program), f"cannot draw: {problem or 'no drawing came out'}", "diagram-engine")
    return sealed(text, dot)


def sealed(svg: str, dot: str) -> str:
    """Return a drawing with a last line that ties it to its DOT text, and shows when somebody changes it by hand.

    Engines draw differently, so a drawing cannot be judged by drawing it again.
    """
    body = svg.rstrip()
    return f"{body}\n<!-- SHA-256 of its DOT: {_digest(dot)}, of the lines above: {_digest(body)} -->\n"


def is_sealed(svg: str, dot: str) -> bool:
    """Say whether a drawing is one of this DOT text, and as it was drawn."""
    body, _, _ = svg.rstrip().rpartition("\n")
    return sealed(body, dot) == svg


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
