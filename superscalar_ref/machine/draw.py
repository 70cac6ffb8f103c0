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
    """Draw a DOT text as SVG; a comment at the end names the text, see ``drawn_from``.

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
    return f"{text.rstrip()}\n{drawn_from(dot)}\n"


def drawn_from(dot: str) -> str:
    """Return the comment that ties an SVG to its DOT text: engines draw differently, so bytes cannot be compared."""
    return f"<!-- drawn from DOT with SHA-256 {hashlib.sha256(dot.encode('utf-8')).hexdigest()} -->"
