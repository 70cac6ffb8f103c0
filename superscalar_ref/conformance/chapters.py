"""The chapters of ``spec/chapters``: what is generated stands between markers, everything else is written by hand.

``<!-- generated: KIND ARGUMENTS -->`` begins a block, ``<!-- end -->`` ends it. Laws of this module:

* A block is a pure function of ``spec/``: tables, parameters, properties, and the committed vectors.
* Text outside of the markers is never touched.
* An unknown kind, a bad argument, or a block without an end is one error with its file and line.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from superscalar_ref.bitcoin.script import P2A
from superscalar_ref.bitcoin.transaction import compact_size, from_hex
from superscalar_ref.conformance.functions import FUNCTIONS
from superscalar_ref.conformance.kit import load_tests
from superscalar_ref.conformance.trace import table, trace
from superscalar_ref.errors import InputError
from superscalar_ref.machine.mermaid import to_mermaid
from superscalar_ref.spec.load import load_specification
from superscalar_ref.spec.location import spec_directory
from superscalar_ref.spec.source import read_document
from superscalar_ref.spec.specification import Specification
from superscalar_ref.spec.wire_forms import Field, Form, load_messages

_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+)((?: [^ \n]+)*) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_BEGIN = re.compile(r"<!-- generated:")


class Source:
    """What blocks are made from; each part is read when the first block asks for it."""

    @cached_property
    def specification(self) -> Specification:
        """Tables, parameters, properties."""
        return load_specification()

    @cached_property
    def tests(self) -> dict[str, dict[str, Any]]:
        """The committed vectors by id."""
        return {test["id"]: test for test in load_tests()}


def chapters() -> tuple[Path, ...]:
    """The files of ``spec/chapters``, by name."""
    return tuple(sorted((spec_directory() / "chapters").glob("*.md")))


def spliced(text: str, place: str, source: Source) -> str:
    """A chapter with every block made anew. Raises InputError, naming the line."""
    if len(_BEGIN.findall(text)) != len(_BLOCK.findall(text)):
        raise InputError(place, "a block has no '<!-- end -->', or its marker is malformed", "chapters")

    def made(found: re.Match[str]) -> str:
        line = text.count("\n", 0, found.start()) + 1
        kind, arguments = found[2], found[3].split()
        make = BLOCKS.get(kind)
        if make is None:
            raise InputError(f"{place}:{line}", f"no kind of block is called '{kind}'", "chapters")
        try:
            body = make(source, *arguments)
        except (KeyError, StopIteration, TypeError, ValueError) as error:
            raise InputError(f"{place}:{line}", f"'{kind} {' '.join(arguments)}': {error!r}", "chapters") from error
        return f"{found[1]}\n{body.strip()}\n\n{found[5]}"

    return _BLOCK.sub(made, text)


# -- blocks ------------------------------------------------------------------------------------------------------------


def _grid(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _diagram(source: Source, name: str) -> str:
    return f"```mermaid\n{to_mermaid(source.specification.machine(name))}```"


def _rows(source: Source, name: str, *only: str) -> str:
    """The rows of a machine as requirements: who, what, why."""
    machine = source.specification.machine(name)
    lines = []
    for row in machine.transitions:
        if only and row.id not in only:
            continue
        said = {guard: machine.guard(guard).says for guard in row.guards}
        lines.append(f"- **{row.id}** `{row.event}` by {' or '.join(row.by)}, in {_codes(row.sources)}, to `{row.to}`.")
        lines.append(f"  {' '.join(row.rule.split())}")
        if row.why:
            lines.append(f"  *Why:* {' '.join(row.why.split())}")
        lines += [f"  - only if `{guard}`: {' '.join(says.split())}" for guard, says in said.items()]
        lines += [f"  - then `{effect}`: {' '.join(machine.effect(effect).says.split())}" for effect in row.effects]
    return "\n".join(lines)


def _codes(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _states(source: Source, name: str) -> str:
    machine = source.specification.machine(name)
    return _grid(
        ("state", "what it means"),
        ((f"`{one.name}`{' (final)' if one.final else ''}", one.says) for one in machine.states),
    )


def _other_machines(source: Source) -> str:
    """Every machine that no chapter shows by name yet."""
    text = "".join(path.read_text(encoding="utf-8") for path in chapters())
    parts = []
    for machine in source.specification.machines:
        if f"<!-- generated: rows {machine.name} -->" in text:
            continue
        parts += [
            f"## {machine.title}",
            f"Subject: {' '.join(machine.subject.split())}.",
            _diagram(source, machine.name),
        ]
        parts += [_states(source, machine.name), _rows(source, machine.name)]
    return "\n\n".join(parts) or "There is none."


def _parameters(source: Source, *names: str) -> str:
    def row(name: str) -> tuple[str, ...]:
        one = source.specification.parameters[name]
        bounds = (str(one.low), "no bound" if one.high is None else str(one.high))
        allowed = ", ".join(one.choices) if one.choices else " to ".join(bounds)
        return f"`{name}`", str(one.default), allowed, one.unit or "", one.says

    return _grid(("parameter", "default", "allowed", "unit", "what it is"), (row(name) for name in names))


def _constraints(source: Source, *names: str) -> str:
    known = {one.id: one for one in source.specification.parameters.constraints}
    lines = []
    for name in names or known:
        one = known[name]
        lines.append(f"- **{one.id}** {' '.join(one.says.split())}")
        if one.why:
            lines.append(f"  *Why:* {' '.join(one.why.split())}")
        lines.append(f"  `{' '.join(one.text.split())}`")
    return "\n".join(lines)


def _properties(source: Source, *kinds: str) -> str:
    lines = []
    for one in source.specification.properties:
        if str(one.kind) not in kinds:
            continue
        heroes = f" (for {', '.join(one.heroes)})" if one.heroes else ""
        lines.append(f"- **{one.id}**{heroes} {' '.join(one.says.split())}")
        if one.why:
            lines.append(f"  *Why:* {' '.join(one.why.split())}")
        lines += [f"  - assumes: {' '.join(assumed.split())}" for assumed in one.assumes]
        lines.append(f"  - decided by: {', '.join(one.checked_by)}")
    return "\n".join(lines)


def _lemmas(_: Source) -> str:
    """What is proven for all values of the parameters: who loses otherwise, and which constraints carry it."""
    rows: Any = read_document(spec_directory() / "lemmas.toml").data["lemmas"]
    return _grid(
        ("lemma", "what holds for all values", "who loses otherwise", "by"),
        (
            (name, one["says"], one.get("loses", ""), ", ".join(one.get("constraints", [])))
            for name, one in rows.items()
        ),
    )


def _wrong_designs(source: Source) -> str:
    return _grid(
        ("design", "what is different", "breaks"),
        ((one.id, one.says or one.title, one.breaks or "nothing") for one in source.specification.variants),
    )


def _codes_of_refusals(source: Source, layer: str) -> str:
    about = json.loads((spec_directory() / "vectors" / "about" / "codes.json").read_text(encoding="utf-8"))

    def words(says: Any) -> str:
        return says if isinstance(says, str) else "; ".join(f"{name}: {text}" for name, text in says.items())

    return _grid(
        ("code", "when"),
        ((f"`{code}`", words(one["says"])) for code, one in about["codes"].items() if one["layer"] == layer),
    )


def _functions(_: Source) -> str:
    return _grid(("function", "what it gives"), ((f"`{one.name}`", one.says) for one in FUNCTIONS.values()))


def _vector(source: Source, identity: str) -> str:
    """One vector, whole."""
    return f"```json\n{json.dumps(source.tests[identity], indent=1, ensure_ascii=False)}\n```"


def _bytes(source: Source, slug: str) -> str:
    """A transaction of the vectors, field by field, with its sighash and signature."""
    test = source.tests[f"tx-{slug}"]
    answer = test["expect"]["ok"]
    lines = [f"{test['comment']}", "", "```text"]
    lines += [f"{part.ljust(66)}  {says}" for part, says in _fields(answer["transaction"], test["args"])]
    lines += ["```", "", f"- txid: `{answer['txid']}`"]
    lines += [f"- it spends: {spent['amount_sat']:,} sat, `{spent['script_pubkey']}`" for spent in answer["spent"]]
    leaf = source.tests.get(f"sighash-{slug}")
    if leaf is None:
        lines += [f"- its key path signs (BIP-341, SIGHASH_DEFAULT): `{digest}`" for digest in answer["sighashes"]]
    else:
        asked, said = leaf["args"], leaf["expect"]["ok"]
        lines.append(f"- it opens the leaf `{asked['script']}`")
        lines.append(f"- whose signature signs (BIP-342, hash type 0x{asked['hash_type']:02x}): `{said['sighash']}`")
    signed = source.tests.get(f"sign-{slug}")
    if signed is not None:
        lines.append(f"- signature of vector `sign-{slug}`: `{signed['expect']['ok']['signature']}`")
    return "\n".join(lines)


def _fields(raw: str, form: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The bytes of a transaction in their order, each part with what it says."""
    made = from_hex(raw)
    yield struct.pack("<I", made.version).hex(), f"nVersion {made.version}"
    yield compact_size(len(made.inputs)).hex(), f"{len(made.inputs)} input(s)"
    for one in made.inputs:
        yield bytes.fromhex(one.txid_hex)[::-1].hex(), "txid that is spent, in internal order"
        yield struct.pack("<I", one.index).hex(), f"its output {one.index}"
        yield "00", "no scriptSig"
        off = one.sequence & 0x80000000
        yield struct.pack("<I", one.sequence).hex(), "nSequence: " + ("BIP-68 off" if off else f"{one.sequence} blocks")
    yield compact_size(len(made.outputs)).hex(), f"{len(made.outputs)} output(s)"
    given = form.get("outputs", [])
    for number, paid in enumerate(made.outputs):
        yield struct.pack("<q", paid.amount_sat).hex(), f"output {number}: {paid.amount_sat:,} sat"
        yield compact_size(len(paid.script_pubkey)).hex(), f"script of {len(paid.script_pubkey)} bytes"
        yield paid.script_pubkey.hex(), _meaning(given[number] if number < len(given) else {})
    height = f"height {made.lock_time}" if 0 < made.lock_time < 500_000_000 else "none"
    yield struct.pack("<I", made.lock_time).hex(), f"nLockTime: {height}"


def _meaning(output: Mapping[str, Any]) -> str:
    if output.get("form") == "anchor":
        return "pay-to-anchor (BIP-433)"
    if output.get("form") == "shared":
        lock = output.get("lock")
        alone = f"; or one alone, {lock['kind']} {lock['blocks']}" if lock else ""
        return f"P2TR: {len(output['signers'])} signers together{alone}"
    script = str(output.get("script_pubkey", ""))
    return "pay-to-anchor (BIP-433)" if script == P2A.hex() else "P2TR of one party"


def _messages(_: Source, family: str) -> str:
    """Every message of a family: who says it to whom, its rows, its fields with number, form and limits."""
    table = load_messages()
    parts = []
    for one in table.messages.values():
        if one.family != family:
            continue
        parts += [
            f"### `{one.name}` ({one.type})",
            f"{one.sender} → {one.receiver}; {', '.join(one.rows)}. {' '.join(one.says.split())}",
        ]
        if one.fields:
            parts.append(_field_table(one.fields))
    return "\n\n".join(parts)


def _field_table(fields: Iterable[Field]) -> str:
    def form(field: Field) -> str:
        return f"`{' '.join(field.form)}`{', may be missing' if field.optional else ''}"

    return _grid(("number", "field", "form"), ((str(one.type), f"`{one.name}`", form(one)) for one in fields))


def _forms(_: Source) -> str:
    """The forms of plain values, with their limits."""

    def limits(one: Form) -> str:
        if one.sizes or one.choices:
            return " or ".join(str(size) for size in one.sizes or one.choices)
        if one.kind in ("signed", "outpoint"):
            return "8 bytes" if one.kind == "signed" else f"36 bytes{', or none' if one.optional else ''}"
        return f"{one.low:,} to {f'{one.high:,}' if one.high is not None else 'no bound'}"

    return _grid(
        ("form", "kind", "limits", "what it is"),
        ((f"`{one.name}`", one.kind, limits(one), one.says) for one in load_messages().forms.values()),
    )


def _records(_: Source) -> str:
    """The records that fields are made of, and the envelope of a channel's messages."""
    table = load_messages()
    parts = ["### envelope", "Before the fields of every message of a channel.", _field_table(table.envelope)]
    for one in table.records.values():
        parts += [f"### {one.name}", f"{one.says}.", _field_table(one.fields)]
    return "\n\n".join(parts)


def _ceremony(_: Source, name: str) -> str:
    """Who says what to whom in a ceremony, as a sequence diagram."""
    one = next(one for one in load_messages().ceremonies if one.name == name)
    parties = dict.fromkeys(party for sender, to, _ in one.steps for party in (sender, to))
    lines = ["```mermaid", "sequenceDiagram", f"    %% {one.title}: drawn from spec/messages.toml"]
    lines += [f"    participant {party}" for party in sorted(parties, key=("client", "lsp", "tower").index)]
    lines += [f"    {sender}->>{to}: {said}" for sender, to, said in one.steps]
    return "\n".join([*lines, "```"])


def _coverage(_: Source) -> str:
    about = json.loads((spec_directory() / "vectors" / "about" / "coverage.json").read_text(encoding="utf-8"))

    def row(name: str, one: Mapping[str, Any]) -> tuple[str, ...]:
        return f"`{name}`", str(one["wrong_tables"]), str(one["caught"]), ", ".join(f"`{m}`" for m in one["missed"])

    return _grid(
        ("machine", "wrong tables", "caught", "not told apart by any vector"),
        (row(name, one) for name, one in about["machines"].items()),
    )


def _trace(source: Source) -> str:
    return table(trace(list(source.tests.values())).requirements, with_code=False)


BLOCKS: Mapping[str, Callable[..., str]] = {
    "diagram": _diagram,
    "rows": _rows,
    "states": _states,
    "other-machines": _other_machines,
    "parameters": _parameters,
    "constraints": _constraints,
    "properties": _properties,
    "wrong-designs": _wrong_designs,
    "lemmas": _lemmas,
    "refusal-codes": _codes_of_refusals,
    "functions": _functions,
    "vector": _vector,
    "bytes": _bytes,
    "messages": _messages,
    "forms": _forms,
    "records": _records,
    "ceremony": _ceremony,
    "coverage": _coverage,
    "trace": _trace,
}
"""Every kind of block."""
