"""Verdicts: what a test expects, held against what a runner answers.

Laws of this module:

* ``detail`` and other words of a reply are never compared.
* A rejected step must leave the state as it was: its reply shows the state too.
* Of a state, the fields that the reply shows are compared; the status it must show. Of effects, those that others can
  see, and all of them when the adapter says that it shows its own (capability ``own_effects``).
* MUST that fails: fail. SHOULD: non-strict. MAY: informational. ``unsupported`` fails inside what the adapter declares,
  and is skipped outside of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from superscalar_ref.conformance.plain import OBSERVABLE
from superscalar_ref.conformance.runner import Fault, Runner

ANYTHING = "*"
"""In ``profiles``: every profile of the corpus."""


class Verdict(StrEnum):
    """What became of a test."""

    PASS = "pass"
    FAIL = "fail"
    NON_STRICT = "non-strict"
    """A SHOULD that failed."""
    INFORMATIONAL = "informational"
    """A MAY that failed."""
    SKIPPED = "skipped"
    ERROR = "error"
    """The adapter broke the protocol."""


DECIDERS = ("client", "lsp")
"""Roles of layer L3 that are asked what they publish; a tower is played by its table."""


@dataclass(frozen=True)
class Profile:
    """What an adapter says of itself."""

    name: str
    version: str
    profiles: frozenset[str]
    functions: frozenset[str] | None
    """None: all of its profiles'."""
    capabilities: frozenset[str]

    def declares(self, test: Mapping[str, Any]) -> bool:
        """Whether a test is within what it declares."""
        moments = (*test.get("steps", ()), *test.get("story", {}).get("troubles", ()))
        if any("restart" in moment for moment in moments) and "restart" not in self.capabilities:
            return False
        # A crash is played by whoever plays the table.
        wanted = {test["profile"], test.get("node", {}).get("machine", test["profile"])}
        if ANYTHING not in self.profiles and not wanted <= self.profiles:
            return False
        asked = test.get("fn") or ("strategy.decide" if test.get("role") in DECIDERS else "")
        return not asked or self.functions is None or asked in self.functions


@dataclass(frozen=True)
class Result:
    """One test's verdict. ``code`` says how it failed (stable); ``detail`` is for people."""

    id: str
    verdict: Verdict
    level: str
    rules: tuple[str, ...]
    profile: str
    code: str = ""
    detail: str = ""
    fields_compared: int = 0
    """Fields of states that were compared."""
    trace: tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...] = ()
    """Requests and replies, of a test that did not pass."""


class Failed(Exception):
    """A test is not passed: how, as a stable code, and in words."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(code)


class _Unsupported(Exception):
    pass


def greet(runner: Runner) -> Profile:
    """Ask an adapter what it is. Raises Fault when it does not answer as it must."""
    reply = runner.ask("hello", protocol=1)
    said = reply.get("ok")
    if not isinstance(said, dict):
        raise Fault("BAD_REPLY", f"hello is answered with {next(key for key in reply if key != 'seq')}")
    if said.get("protocol") != 1:
        raise Fault("BAD_REPLY", f"speaks protocol {said.get('protocol')!r}; this is 1")
    functions = said.get("functions")
    return Profile(
        str(said.get("name", "unnamed")),
        str(said.get("version", "")),
        frozenset(_names(said.get("profiles", [ANYTHING]))),
        None if functions is None else frozenset(_names(functions)),
        frozenset(_names(said.get("capabilities", []))),
    )


def _names(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Fault("BAD_REPLY", f"{value!r} in hello is no list of names")
    return value


class Talk:
    """One test's talk with a runner: remembers what was said."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.trace: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
        self.fields = 0

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """The reply to a command. Raises Failed, and Fault."""
        request = {"cmd": command, **fields}
        try:
            reply = self._runner.ask(command, **fields)
        except Fault as fault:
            self.trace.append((request, {"fault": str(fault)}))
            raise
        self.trace.append((request, reply))
        if "unsupported" in reply:
            raise _Unsupported
        if "error" in reply:
            raise Failed("ERROR", str(reply["error"].get("detail", "error without detail")))
        return reply


def judge(runner: Runner, profile: Profile, test: Mapping[str, Any]) -> Result:
    """Run one test. Never raises: a fault of the adapter is a verdict."""
    talk = Talk(runner)
    if not profile.declares(test):
        return _result(test, Verdict.SKIPPED, talk, detail="outside of what the adapter declares")
    try:
        if "fn" in test:
            _function(talk, test)
        elif "story" in test:
            from superscalar_ref.conformance.outcomes import play  # noqa: PLC0415 - Core's code takes 170 ms to load

            play(talk, test)
        else:
            _transcript(talk, profile, test)
    except _Unsupported:
        return _result(test, _severity(test), talk, "UNSUPPORTED", "within a declared profile")
    except Failed as failed:
        return _result(test, _severity(test), talk, failed.code, failed.detail)
    except Fault as fault:
        return _result(test, Verdict.ERROR, talk, fault.code, fault.detail)
    return _result(test, Verdict.PASS, talk)


def _severity(test: Mapping[str, Any]) -> Verdict:
    return {"SHOULD": Verdict.NON_STRICT, "MAY": Verdict.INFORMATIONAL}.get(str(test["level"]), Verdict.FAIL)


def _result(test: Mapping[str, Any], verdict: Verdict, talk: Talk, code: str = "", detail: str = "") -> Result:
    trace = () if verdict in (Verdict.PASS, Verdict.SKIPPED) else tuple(talk.trace)
    return Result(
        test["id"], verdict, test["level"], tuple(test["rules"]), test["profile"], code, detail, talk.fields, trace
    )


def _function(talk: Talk, test: Mapping[str, Any]) -> None:
    reply = talk.ask("eval", fn=test["fn"], args=test["args"])
    expect = test["expect"]
    if "reject" in expect:
        _same_refusal(reply, expect["reject"])
        return
    if "reject" in reply:
        raise Failed("REFUSED", f"refuses with {reply['reject'].get('code')}")
    for key, value in expect["ok"].items():
        if reply["ok"].get(key) != value or type(reply["ok"].get(key)) is not type(value):
            raise Failed("WRONG_RESULT", f"'{key}' is {reply['ok'].get(key)!r} instead of {value!r}")


def _same_refusal(reply: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    if "ok" in reply:
        raise Failed("NOT_REFUSED", f"is taken; it is to be refused with {expected['code']}")
    if reply["reject"].get("code") != expected["code"]:
        raise Failed("WRONG_CODE", f"refuses with {reply['reject'].get('code')!r} instead of {expected['code']}")


def _transcript(talk: Talk, profile: Profile, test: Mapping[str, Any]) -> None:
    node = test["node"]
    state: dict[str, Any] = dict(node["state"])
    talk.ask("new", node="n1", machine=node["machine"], state=state)
    for number, step in enumerate(test["steps"], start=1):
        place = f"step {number}"
        if "given" in step:
            talk.ask("given", node="n1", fields=step["given"])
            state.update(step["given"])
            continue
        if "restart" in step:
            reply = talk.ask("restart", node="n1")
            state.update(step["expect"]["state"])
            _same_state(talk, reply.get("ok", {}).get("state"), state, place, "WRONG_STATE")
            continue
        reply = talk.ask("step", node="n1", event=step["event"])
        expect = step["expect"]
        if "reject" in expect:
            try:
                _same_refusal(reply, expect["reject"])
            except Failed as failed:
                raise Failed(failed.code, f"{place}: {failed.detail}") from None
            _same_state(talk, reply.get("state"), state, place, "STATE_CHANGED")
            continue
        if "reject" in reply:
            raise Failed("REFUSED", f"{place}: refuses '{step['event']['name']}' with {reply['reject'].get('code')}")
        state.update(expect["state"])
        _same_state(talk, reply["ok"].get("state"), state, place, "WRONG_STATE")
        _same_effects(profile, reply["ok"].get("effects"), expect["effects"], place)


def _same_state(talk: Talk, shown: object, expected: Mapping[str, Any], place: str, code: str) -> None:
    if not isinstance(shown, dict) or "status" not in shown:
        raise Fault("BAD_REPLY", f"{place}: the reply shows no state with a status")
    for key, value in shown.items():
        if key not in expected:
            continue
        talk.fields += 1
        if value != expected[key]:
            raise Failed(code, f"{place}: '{key}' is {value!r} instead of {expected[key]!r}")


def _same_effects(profile: Profile, shown: object, expected: list[Mapping[str, Any]], place: str) -> None:
    if not isinstance(shown, list) or not all(isinstance(effect, dict) for effect in shown):
        raise Fault("BAD_REPLY", f"{place}: the reply shows no list of effects")
    everything = "own_effects" in profile.capabilities
    wanted, given = (
        [effect for effect in effects if everything or effect.get("kind") in OBSERVABLE]
        for effects in (expected, shown)
    )
    for number, (want, got) in enumerate(zip(wanted, given, strict=False), start=1):
        if any(got.get(key) != value for key, value in want.items()):
            raise Failed("WRONG_EFFECTS", f"{place}: effect {number} is {_words(got)} instead of {_words(want)}")
    if len(wanted) != len(given):
        more = wanted[len(given)] if len(wanted) > len(given) else given[len(wanted)]
        what = "lacks" if len(wanted) > len(given) else "has one too many:"
        raise Failed("WRONG_EFFECTS", f"{place}: {what} {_words(more)}")


def _words(effect: Mapping[str, Any]) -> str:
    to = f" to {effect['to']}" if effect.get("to") else ""
    fields = f" {effect['fields']}" if effect.get("fields") else ""
    return f"'{effect.get('kind')} {effect.get('name')}{to}{fields}'"
