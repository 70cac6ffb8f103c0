"""A party's channels, with the assisted exits that run over them: the same wire, the same outbox."""

from __future__ import annotations

from typing import Any

from superscalar_ref.errors import ProtocolError
from superscalar_ref.parties import handover_messages as h
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.channel_desk import ChannelDesk
from superscalar_ref.parties.handover import ClientHandover, Handover


class HandoverDesk(ChannelDesk):
    """One party's channels and exits."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """As ``ChannelDesk``."""
        super().__init__(*args, **options)
        self.exits: dict[str, Handover] = {}
        """Client → this party's part of its assisted exit."""

    def attach(self, client: str, exit_: Handover) -> None:
        """Run a client's assisted exit over its channel."""
        self.exits[client] = exit_

    @property
    def counted(self) -> str:
        """Label of the version that this party counts on."""
        return self._counted()

    def ask_exit(self, client: str, most_fee_sat: int) -> Outbox:
        """This client asks to be paid on chain (sat). Raises ``ProtocolError`` as ``ClientHandover.ask`` does.

        A client with several channels cannot: its one factory key opens them all, and only one is locked.
        """
        if any(side.terms.name.startswith(self.sides[client].terms.name + "/") for side in self.bought.values()):
            raise ProtocolError("AXT-1", "SEVERAL_CHANNELS", f"{client} has bought channels: only one would be locked")
        exit_ = self.exits[client]
        assert isinstance(exit_, ClientHandover)
        self.actor.outbox = Outbox()
        self._post(exit_.ask(most_fee_sat))
        return self.actor.outbox

    def takes(self, raw: bytes) -> bool:
        """Whether a message is for one of these channels, or for an exit over one."""
        name = h.channel_of(raw)
        return super().takes(raw) if name is None else any(e.side.terms.name == name for e in self.exits.values())

    def receive(self, sender: str, raw: bytes) -> None:
        """Take a message for a channel or an exit; what that gives goes to the party's outbox."""
        name = h.channel_of(raw)
        if name is None:
            super().receive(sender, raw)
        else:
            exit_ = next(one for one in self.exits.values() if one.side.terms.name == name)
            exit_.side.height = self.actor.height
            self._post(exit_.receive(sender, raw))

    def follow(self) -> None:
        """As ``ChannelDesk.follow``; then what the exits make of it."""
        super().follow()
        for exit_ in self.exits.values():
            exit_.side.height = self.actor.height
            self._post(exit_.follow())
