from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.errors import SpecError
from superscalar_ref.spec.source import Step, _find_lines, read_document

TEXT = '''\
# [comment]
[machine]
name = "stock # not a comment"
says = """
[not.a.header]
rule = "not a key" ""
"""

[states.unsold]
says = 'it says [[this'
[states."a b"]
says = "x"

[[transitions]]
id = "STK-1"
guards = [
    "one", # ]
    "two",
]
rule = "after the array"

[[transitions]]
id = "STK-2"
add = { id = "x", from = ["a"] }
[transitions.more]
deep.key = 1
[[transitions.rows]]
a = 1
[[transitions.rows]]
a = 2
'''


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "x.toml"
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("machine",), 2),
        (("machine", "name"), 3),
        (("machine", "says"), 4),
        (("machine", "rule"), 2),
        (("states", "unsold"), 9),
        (("states", "unsold", "says"), 10),
        (("states", "a b", "says"), 12),
        (("transitions", 0), 14),
        (("transitions", 0, "guards", 1), 16),
        (("transitions", 0, "rule"), 20),
        (("transitions", 1), 22),
        (("transitions", 1, "add", "id"), 24),
        (("transitions", 1, "more", "deep", "key"), 26),
        (("transitions", 1, "rows", 0, "a"), 28),
        (("transitions", 1, "rows", 1, "a"), 30),
        (("nowhere",), 1),
    ],
)
def test_each_element_has_its_line(tmp_path: Path, path: tuple[Step, ...], line: int, ends: str) -> None:
    document = read_document(write(tmp_path, TEXT.replace("\n", ends)))
    assert document.place(*path).line == line


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a = 1\n\nb =\n", 3, "invalid value"),
        ("a = 1\nb = [1,\n2\nc = 3\n", 4, "unclosed array, in what begins at line 2"),
        ('a = 1\nb = """one\ntwo\n', 3, "in what begins at line 2"),
        ('a = "one\nb = 2\n', 1, "illegal character"),
        ("[a]\n[b]\n[a]\n", 3, "cannot declare [a] twice"),
        ("[a.b]\n[a.b]\n", 2, "cannot declare [a.b] twice"),
        ("a = 1\na = 2\n", 2, "cannot overwrite a value"),
        ("a = 1\nb\n", 2, "expected '='"),
        ("[a\nb = 1\n", 1, "expected ']'"),
        ("a = 0x\n", 1, ""),
        ("a = 1\nb = [1, 0x1" + "0" * 5000 + "]\n", 2, "a number beyond 64 bits"),
        ("a = 1\nb = -9223372036854775809\n", 2, "a number beyond 64 bits"),
        ("a = " + "9" * 5000 + "\n", 1, "a number beyond 64 bits"),
    ],
)
def test_broken_toml_is_named_by_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_document(write(tmp_path, text))
    assert str(caught.value).split(": ")[0].endswith(f"x.toml:{line}")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        r'"""one \""" two"""',
        '"""one""""',
        '["""one"""", "["]',
        '"""one"""""',
        "'''one''''",
        r"'''one\'''",
        r'"one \" [two"',
        r"'one\'",
        '""',
        "''",
        '""""""',
        '["[", \'"\', "#"] # ["',
        '[ # """\n 1]',
        '"""\n\n#"""',
    ],
)
def test_the_scan_knows_every_form_of_text(tmp_path: Path, value: str) -> None:
    text = f"a = {value}\nlast = 1\n"
    assert read_document(write(tmp_path, text)).place("last").line == text.count("\n")


def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b'a = 1\nb = "\xff"\n')
    with pytest.raises(SpecError, match=r"x\.toml:2: not UTF-8"):
        read_document(path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        read_document(tmp_path / "none.toml")
    with pytest.raises(SpecError, match="directory"):
        read_document(tmp_path)


def test_endless_nesting_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        read_document(write(tmp_path, "a = " + "[" * 100_000))


_WORDS = st.text(alphabet="ab\"'#[]{}=\\\n, ", max_size=12)


@given(st.lists(st.one_of(_WORDS, st.sampled_from(['"""', "'''"])), max_size=6))
def test_the_scan_finds_keys_behind_any_value(words: list[str]) -> None:
    """Whatever text stands before it, a later key is found on its own line, if the whole is TOML at all."""
    text = f"a = {''.join(words)}\nlast = 1\n"
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    if "last" not in data:
        return
    assert _find_lines(text)["last",] == text.count("\n")


_STRINGS = st.text(alphabet="ab\"'#[]{}=\n,", max_size=12)


@given(st.lists(st.tuples(_STRINGS, st.sampled_from(["basic", "multi", "array"])), min_size=1, max_size=6))
def test_the_scan_agrees_with_what_was_written(values: list[tuple[str, str]]) -> None:
    text, expected = "", {}
    for index, (value, form) in enumerate(values):
        expected[index] = text.count("\n") + 1
        escaped = value.replace('"', '\\"')
        if form == "multi":
            text += f'k{index} = """{escaped}"""\n'
        else:
            line = '"' + escaped.replace("\n", "\\n") + '"'
            text += f"k{index} = {line}\n" if form == "basic" else f'k{index} = [\n {line}, # [ "\n {line} ]\n'
    tomllib.loads(text)
    found = _find_lines(text)
    assert {index: found[f"k{index}",] for index in expected} == expected
