"""Markdown to HTML: anchors, links, and nothing that the text smuggles in."""

from __future__ import annotations

from superscalar_ref.site.text import Anchors, Rendered, render

KNOWN = {"FAC-7", "R-TEXT", "R-TABLE", "D-4", "V-STEP-SHORT"}


def made(text: str, anchors: Anchors | None = None) -> Rendered:
    known = anchors or Anchors(KNOWN, {"FAC-7", "R-TABLE"})
    return render(text, "text-here", known, lambda name: f"<svg>{name}</svg>", {"text-here", "text-tree"})


def test_html_in_the_text_is_shown_and_not_obeyed() -> None:
    html = made('# T\n\n<img src=x onerror=alert(1)> and <b>bold</b>\n\n[x](javascript:alert(1))\n\n"<i>`"').html
    assert "<img" not in html
    assert "<b>" not in html
    assert "<i>" not in html
    assert "javascript:" not in html.replace("[x](javascript:alert(1))", "")


def test_an_id_is_linked_once_and_never_inside_a_link() -> None:
    html = made("FAC-7 and `V-STEP-SHORT`, [see FAC-7](tree.md), FAC-99.").html
    assert html.count('href="#FAC-7"') == 1
    assert '<code><a class="id" href="#V-STEP-SHORT">V-STEP-SHORT</a></code>' in html
    assert '<a href="#text-tree">see FAC-7</a>' in html
    assert "FAC-99." in html


def test_the_text_defines_what_no_table_has() -> None:
    anchors = Anchors(KNOWN, {"FAC-7", "R-TABLE"})
    html = made(
        "- **R-TEXT** A MUST.\n- **R-TABLE** Another.\n\n| id | what |\n| --- | --- |\n| D-4 | x |\n", anchors
    ).html
    assert '<li id="R-TEXT">' in html
    assert 'id="R-TABLE"' not in html
    assert '<tr id="D-4">' in html
    assert 'id="R-TEXT"' not in made("- **R-TEXT** Again.", anchors).html


def test_links_between_files_lead_to_pages_or_nowhere() -> None:
    html = made("[a](tree.md#the-shape) [b](../machines/client.toml) [c](https://example.org/x) [d](#here)").html
    assert '<a href="#text-tree.the-shape">a</a>' in html
    assert "<span>b</span>" in html
    assert '<a href="https://example.org/x" rel="noreferrer">c</a>' in html
    assert '<a href="#text-here.here">d</a>' in html


def test_headings_have_the_anchors_of_code_hosts() -> None:
    found = made("# A `b` title\n\n## What is *not* covered?\n")
    assert found.title == "A b title"
    assert [(one.anchor, one.words) for one in found.headings] == [
        ("text-here.what-is-not-covered", "What is not covered?")
    ]
    assert '<h2 id="text-here.what-is-not-covered">' in found.html


def test_a_machines_drawing_stands_for_its_mermaid_text() -> None:
    drawn = "```mermaid\n%% Client: drawn from spec/machines/client.toml\nstateDiagram-v2\n```\n"
    assert "<svg>client</svg>" in made(drawn).html
    assert "graph &lt;b&gt;" in made("```mermaid\ngraph <b>\n```\n").html
    assert "&lt;x&gt;" in made("```json\n<x>\n```\n").html


def test_markers_of_what_is_generated_are_not_shown() -> None:
    assert "generated" not in made("<!-- generated: rows client -->\n\nText.\n\n<!-- end -->\n").html


def test_words_are_escaped_and_linked() -> None:
    assert Anchors(KNOWN).words("a <b> `x<y`\n FAC-7") == (
        'a &lt;b&gt; <code>x&lt;y</code> <a class="id" href="#FAC-7">FAC-7</a>'
    )


def test_a_cell_of_a_table_knows_its_column() -> None:
    html = made("| a `b` | c |\n| --- | :-: |\n| 1 | **2** |\n").html
    assert '<td data-label="a b"><span>1</span></td>' in html
    assert '<td data-label="c"><span><strong>2</strong></span></td>' in html


def test_a_parameter_is_linked_where_it_is_named() -> None:
    anchors = Anchors(KNOWN, names={"step_blocks": "parameter.step_blocks"})
    assert anchors.words("my_step_blocks, step_blocks") == (
        'my_step_blocks, <a class="id" href="#parameter.step_blocks">step_blocks</a>'
    )
