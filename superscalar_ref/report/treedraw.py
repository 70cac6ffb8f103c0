"""Drawings of a factory's tree: lines for a terminal, and SVG for a page.

Both show nodes, not transactions: a static node is one kickoff, every other a kickoff and a state. Both are
plain text, so they need no program and come out the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from superscalar_ref.protocol.shape import Node, NodeKind, Tree

ROW = 22
"""Height of one leaf's row in the SVG (pixels)."""
COLUMN = 170
"""Width of one level in the SVG (pixels)."""
BOX = 16
"""Height of a box in the SVG (pixels)."""
FILL = {NodeKind.STATIC: "#d9d9d9", NodeKind.DW: "#bcd7f0", NodeKind.LEAF: "#c6e5c3"}
MEANING = {
    NodeKind.STATIC: "static: one kickoff, no counter",
    NodeKind.DW: "dw: kickoff and state, own counter",
    NodeKind.LEAF: "leaf: kickoff and state with channels and stock, own counter",
}


def who(clients: tuple[str, ...]) -> str:
    """Name clients shortly: all of up to three, else the first, the last and how many."""
    if len(clients) <= 3:
        return ", ".join(clients)
    return f"{clients[0]} … {clients[-1]} ({len(clients)})"


def count(number: int, noun: str, plural: str = "") -> str:
    """Say how many: ``1 client``, ``2 clients``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def label(tree: Tree, node: Node) -> str:
    """One line about a node: path, kind, and what hangs on it."""
    if node.kind is NodeKind.LEAF:
        stock = len(tree.stock_groups(node))
        return f"{node.path} leaf: {who(node.clients)}; {count(len(node.clients), 'channel')}, {stock} stock"
    children = count(len(node.children), "child", "children")
    return f"{node.path} {node.kind}: {children}, {count(len(node.clients), 'client')}"


def text(tree: Tree, most_lines: int = 40) -> Iterator[str]:
    """Lines of an indented drawing; in a tree of more nodes than ``most_lines`` only first children are opened."""
    brief = len(tree.nodes()) > most_lines
    yield label(tree, tree.root)
    yield from _text(tree, tree.root, "", brief)


def _text(tree: Tree, node: Node, indent: str, brief: bool) -> Iterator[str]:
    shown = node.children[:1] if brief else node.children
    hidden = node.children[len(shown) :]
    for child in shown:
        last = child is shown[-1] and not hidden
        yield f"{indent}{'└─ ' if last else '├─ '}{label(tree, child)}"
        yield from _text(tree, child, indent + ("   " if last else "│  "), brief)
    if hidden:
        clients = sum(len(child.clients) for child in hidden)
        yield f"{indent}└─ … {count(len(hidden), 'more sibling')} with {count(clients, 'client')}"


def svg(tree: Tree) -> str:
    """An SVG document: the root at the left, a row for each leaf, colours by kind, explained below the drawing."""
    rows = {leaf.path: number for number, leaf in enumerate(tree.leaves())}
    heights = _heights(tree, rows)
    width = COLUMN * (tree.depth + 1) + 300
    bottom = 20 + ROW * len(rows)
    height = bottom + 20 + ROW * len(MEANING)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f"<title>Factory tree of {len(tree.clients)} clients</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for node in tree.nodes():
        for child in node.children:
            parts.append(_edge(node, child, heights))
    for node in tree.nodes():
        parts.extend(_box(tree, node, heights[node.path]))
    for number, (kind, meaning) in enumerate(MEANING.items()):
        y = bottom + 10 + ROW * number
        parts.append(f'<rect x="10" y="{y}" width="16" height="{BOX}" fill="{FILL[kind]}" stroke="#444"/>')
        parts.append(f'<text x="32" y="{y + 12}">{escape(meaning)}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _heights(tree: Tree, rows: dict[str, int]) -> dict[str, int]:
    """The middle of each node (pixels from the top): a leaf's row, or halfway between the outer children."""
    heights: dict[str, int] = {}
    for node in reversed(tree.nodes()):
        if node.kind is NodeKind.LEAF:
            heights[node.path] = 20 + ROW * rows[node.path]
        else:
            heights[node.path] = (heights[node.children[0].path] + heights[node.children[-1].path]) // 2
    return heights


def _edge(parent: Node, child: Node, heights: dict[str, int]) -> str:
    start = 10 + COLUMN * parent.depth + COLUMN - 40
    end = 10 + COLUMN * child.depth
    middle = (start + end) // 2
    return (
        f'<path d="M{start} {heights[parent.path]} H{middle} V{heights[child.path]} H{end}" fill="none" stroke="#888"/>'
    )


def _box(tree: Tree, node: Node, height: int) -> Iterator[str]:
    x = 10 + COLUMN * node.depth
    y = height - BOX // 2
    yield f'<g id="{node.path}"><title>{escape(label(tree, node))}</title>'
    yield (
        f'<rect x="{x}" y="{y}" width="{COLUMN - 40}" height="{BOX}" rx="3" fill="{FILL[node.kind]}" stroke="#444"/>'
    )
    yield f'<text x="{x + 5}" y="{height + 4}">{node.path} {node.kind}</text>'
    if node.kind is NodeKind.LEAF:
        yield f'<text x="{x + COLUMN - 34}" y="{height + 4}">{escape(who(node.clients))}</text>'
    yield "</g>"
