"""The adapter's side of protocol 1: requests in, replies out, for one table-driven implementation.

Laws of this module:

* One request, one reply. A reply echoes ``seq`` and has exactly one of ok, reject, unsupported, error.
* A rejected step changes nothing, and its reply shows the state all the same.
* Nothing is raised: whatever goes wrong is an ``error`` reply.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from superscalar_ref import __version__
from superscalar_ref.conformance.functions import FUNCTIONS, Rejected, evaluate
from superscalar_ref.conformance.plain import (
    actions_plain,
    bound_to_rules,
    context_from,
    event_from,
    plain,
    with_fields,
)
from superscalar_ref.conformance.restarts import durable, restarted
from superscalar_ref.errors import InputError, Refused
from superscalar_ref.machine.step import BoundMachine, step
from superscalar_ref.spec.load import load_machines

PROTOCOL = 1


@cache
def reference_machines(directory: Path | None = None) -> Mapping[str, BoundMachine[Any]]:
    """Every table that has functions, by name; read once. Raises SpecError."""
    bound = ((table.name, bound_to_rules(table)) for table in load_machines(directory))
    return MappingProxyType({name: machine for name, machine in bound if machine is not None})


class TableAdapter:
    """An implementation that runs tables: the reference, or a liar with one wrong table."""

    def __init__(self, machines: Mapping[str, BoundMachine[Any]], name: str = "superscalar-ref") -> None:
        self._machines = machines
        self._name = name
        self._nodes: dict[str, tuple[BoundMachine[Any], Any]] = {}
        self._stored: dict[str, Any] = {}
        """What a restart leaves of each node."""
        self._commands: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "hello": self._hello,
            "eval": self._eval,
            "new": self._new,
            "given": self._given,
            "step": self._step,
            "restart": self._restart,
            "bye": lambda _: {"ok": {}},
        }

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to one request."""
        command = self._commands.get(str(request.get("cmd")))
        if command is None:
            return {"seq": request.get("seq"), "unsupported": {"cmd": request.get("cmd")}}
        try:
            return {"seq": request.get("seq"), **command(request)}
        except Exception as error:  # a liar's effect may run where its guard would have prevented it
            return {"seq": request.get("seq"), "error": {"detail": f"{type(error).__name__}: {error}"}}

    def _hello(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "ok": {
                "name": self._name,
                "version": __version__,
                "protocol": PROTOCOL,
                "profiles": ["*"],
                "functions": list(FUNCTIONS),
                "capabilities": ["own_effects", "restart"],
            }
        }

    def _eval(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if request["fn"] not in FUNCTIONS:
            return {"unsupported": {"fn": request["fn"]}}
        try:
            return {"ok": evaluate(request["fn"], request["args"])}
        except Rejected as rejected:
            return {"reject": {"code": rejected.code, "detail": rejected.detail}}

    def _new(self, request: Mapping[str, Any]) -> dict[str, Any]:
        machine = self._machines.get(request["machine"])
        if machine is None:
            return {"unsupported": {"machine": request["machine"]}}
        context = context_from(machine, request["state"], "new")
        self._nodes[request["node"]] = machine, context
        self._stored[request["node"]] = context
        return {"ok": {"state": plain(context)}}

    def _given(self, request: Mapping[str, Any]) -> dict[str, Any]:
        machine, context = self._node(request)
        changed = with_fields(machine, context, request["fields"], "given")
        self._nodes[request["node"]] = machine, changed
        stored = self._stored[request["node"]]
        self._stored[request["node"]] = with_fields(machine, stored, request["fields"], "given")
        return {"ok": {"state": plain(changed)}}

    def _step(self, request: Mapping[str, Any]) -> dict[str, Any]:
        machine, context = self._node(request)
        try:
            stepped = step(machine, context, event_from(request["event"], "event"))
        except Refused as refused:
            return {
                "reject": {"code": refused.code, "rule": refused.rule, "detail": refused.detail},
                "state": plain(context),
            }
        self._nodes[request["node"]] = machine, stepped.context
        self._stored[request["node"]] = durable(self._stored[request["node"]], stepped)
        return {
            "ok": {
                "rule": stepped.transition_id,
                "state": plain(stepped.context),
                "effects": actions_plain(stepped.actions),
            }
        }

    def _restart(self, request: Mapping[str, Any]) -> dict[str, Any]:
        machine, context = self._node(request)
        left = restarted(machine, context, self._stored[request["node"]])
        self._nodes[request["node"]] = machine, left
        return {"ok": {"state": plain(left)}}

    def _node(self, request: Mapping[str, Any]) -> tuple[BoundMachine[Any], Any]:
        node = self._nodes.get(request["node"])
        if node is None:
            raise InputError("node", f"there is no node '{request['node']}'", "new")
        return node


def serve(adapter: TableAdapter, requests: IO[str], replies: IO[str]) -> None:
    """Answer JSON Lines until ``bye`` or the end of the input."""
    for line in requests:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            request = {"cmd": f"no JSON: {error}"}
        if not isinstance(request, dict):
            request = {"cmd": "no JSON object"}
        reply = adapter.answer(request)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        if request.get("cmd") == "bye":
            return
