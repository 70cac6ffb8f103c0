"""Markdown to HTML, with an anchor at each id that the text defines and a link at each id that it names.

Laws of this module:

* Nothing of the text reaches the page as HTML of its own: raw HTML is escaped.
* An id is linked where it is named if the page has an anchor for it, and never inside another link.
* An anchor that a table has already is not made again.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

ID = re.compile(r"\b[A-Z]{1,3}-(?:\d+|[A-Z][A-Z0-9]*)(?:-[A-Z0-9]+)*\b")
"""What looks like an id; whether it is one, the table of anchors says."""
_NAME = re.compile(rf"{ID.pattern}|\b[a-z]+(?:_[a-z0-9]+)+\b")
_MARKER = re.compile(r"^<!-- .*? -->\n?", re.MULTILINE)
_TAG = re.compile(r"(<[^>]+>)")
_DEFINED = re.compile(r"<li>(?=\s*(?:<p>)?<strong>([A-Z]+-[A-Z0-9-]+)</strong>)")
_DECIDED = re.compile(r"<tr>(?=\s*<td[^>]*><span>(D-\d+)</span>)")
_DRAWN = re.compile(r"%% .*: drawn from spec/machines/(\w+)\.toml")


@dataclass
class Anchors:
    """The ids that the page has, and where links to them lead."""

    known: Collection[str]
    """Every id that has an anchor somewhere on the page."""
    taken: set[str] = field(default_factory=set)
    """Those whose anchor stands already."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names that are no ids, such as a parameter's, and their anchors."""

    def link(self, html: str) -> str:
        """Return HTML in which each id that is named is a link to its anchor."""
        parts = _TAG.split(html)
        inside = 0
        for number, part in enumerate(parts):
            if part.startswith("<"):
                inside += part.startswith("<a ") - part.startswith("</a>")
            elif not inside:
                parts[number] = _NAME.sub(self._linked, part)
        return "".join(parts)

    def _linked(self, found: re.Match[str]) -> str:
        name = found[0]
        anchor = name if name in self.known else self.names.get(name, "")
        return f'<a class="id" href="#{anchor}">{name}</a>' if anchor else name

    def words(self, says: str) -> Markup:
        """Plain words as HTML: escaped, on one line, `code` as code, ids as links."""
        text = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(" ".join(says.split()))))
        return Markup(self.link(text))  # escaped above

    def define(self, html: str) -> str:
        """Return HTML in which each id that the text defines, and no table has, carries its anchor."""

        def anchored(found: re.Match[str]) -> str:
            if found[1] not in self.known or found[1] in self.taken:
                return found[0]
            self.taken.add(found[1])
            return f'{found[0][:-1]} id="{found[1]}">'

        return _DECIDED.sub(anchored, _DEFINED.sub(anchored, html))


@dataclass(frozen=True)
class Heading:
    """A heading of a page: its anchor and its words."""

    anchor: str
    words: str


@dataclass(frozen=True)
class Rendered:
    """A page of text."""

    title: str
    headings: tuple[Heading, ...]
    html: Markup


def render(text: str, page: str, anchors: Anchors, drawing: Callable[[str], str], pages: Collection[str]) -> Rendered:
    """Render one Markdown text.

    ``page`` is its own anchor, ``drawing(machine)`` gives what stands for a machine's Mermaid text, ``pages`` are the
    anchors to which links between files may lead.
    """
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=RendererHTML).enable("table")
    tokens = parser.parse(_MARKER.sub("", text))
    title, headings = "", []
    for token, inner in itertools.pairwise(tokens):
        if token.type != "heading_open":
            continue
        words = _plain(inner)
        if token.tag == "h1":
            title = title or words
            continue
        anchor = f"{page}.{slug(words)}"
        token.attrSet("id", anchor)
        if token.tag == "h2":
            headings.append(Heading(anchor, words))
    for token in tokens:
        _relink(token.children or (), page, pages)

    def fence(renderer: RendererHTML, rest: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
        machine = _DRAWN.match(rest[at].content) if rest[at].info == "mermaid" else None
        return drawing(machine[1]) if machine else f'<pre tabindex="0">{escape(rest[at].content)}</pre>\n'

    def table(renderer: RendererHTML, rest: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="wide"><table class="stack">\n' if rest[at].nesting == 1 else "</table></div>\n"

    def cell(renderer: RendererHTML, rest: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
        label = escape(rest[at].meta.get("column", ""))
        return f'<td data-label="{label}"><span>' if rest[at].nesting == 1 else "</span></td>\n"

    parser.add_render_rule("fence", fence)
    parser.add_render_rule("table_open", table)
    parser.add_render_rule("table_close", table)
    parser.add_render_rule("td_open", cell)
    parser.add_render_rule("td_close", cell)
    _name_cells(tokens)
    html = parser.renderer.render(tokens, parser.options, {})
    return Rendered(title, tuple(headings), Markup(anchors.link(anchors.define(html))))  # raw HTML is off


def _name_cells(tokens: Sequence[Token]) -> None:
    """Tell each cell of a table its column's heading: on a narrow screen it stands beside the cell."""
    columns: list[str] = []
    place = 0
    for token, inner in itertools.pairwise(tokens):
        if token.type == "thead_open":
            columns = []
        elif token.type == "th_open":
            columns.append(_plain(inner))
        elif token.type == "tr_open":
            place = 0
        elif token.type == "td_open":
            token.meta["column"] = columns[place]
            place += 1


def slug(words: str) -> str:
    """The anchor that a heading has on code hosts."""
    return re.sub(r"[^\w -]", "", words.lower()).strip().replace(" ", "-")


def _plain(token: Token) -> str:
    return "".join(child.content for child in token.children or ())


def _relink(children: Sequence[Token], page: str, pages: Collection[str]) -> None:
    """Lead links to other files of the specification to their pages; a file that the page has not is no link."""
    dead = False
    for child in children:
        if child.type == "link_close" and dead:
            child.tag = "span"
        if child.type != "link_open":
            continue
        target = str(child.attrGet("href") or "")
        dead = False
        if target.startswith(("https:", "http:")):
            child.attrSet("rel", "noreferrer")
            continue
        file, _, part = target.partition("#")
        name = f"text-{file.rpartition('/')[2].removesuffix('.md')}" if file else page
        if name in pages:
            child.attrSet("href", f"#{name}.{part}" if part else f"#{name}")
        else:
            dead = True
            child.tag, child.attrs = "span", {}
