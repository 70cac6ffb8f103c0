"""A party's channels, with the assisted exits that run over them: the same wire, the same outbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from superscalar_ref.errors import ProtocolError
from superscalar_ref.parties import handover_messages as h
from superscalar_ref.parties.actor import Outbox
from superscalar_ref.parties.channel_actor import ChannelActor
from superscalar_ref.parties.channel_desk import ChannelDesk
from superscalar_ref.parties.handover import ClientHandover, Handover
from superscalar_ref.protocol.blueprint import Channel, LeafContents


class HandoverDesk(ChannelDesk):
    """One party's channels and exits."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """As ``ChannelDesk``."""
        super().__init__(*args, **options)
        self.exits: dict[str, Handover] = {}
        """Client → this party's part of its assisted exit."""

    def departed(self, client: str) -> bool:
        """Whether a client has left, and all that was in its channel is the LSP's."""
        exit_, side = self.exits.get(client), self.sides.get(client)
        return exit_ is not None and exit_.status == "claimed" and side is not None and not side.channel.htlcs

    def _each_of(self) -> Iterator[tuple[str, str, ChannelActor]]:
        # The channel of a client that has left goes nowhere any more: the LSP holds both of its keys.
        return (one for one in super()._each_of() if not self.departed(one[0]))

    def carried(self, contents: Mapping[str, LeafContents], clients: frozenset[str]) -> frozenset[str]:
        """As ``ChannelDesk.carried``; the channel of a client that has left is carried nowhere."""
        return super().carried(contents, frozenset(client for client in clients if not self.departed(client)))

    def settled(self, contents: Mapping[str, LeafContents]) -> dict[str, LeafContents]:
        """As ``ChannelDesk.settled``; what is in the channel of a client that has left is the LSP's."""
        return {
            path: replace(leaf, channels=tuple(map(self._emptied, leaf.channels)))
            for path, leaf in super().settled(contents).items()
        }

    def _emptied(self, channel: Channel) -> Channel:
        if not self.departed(channel.client):
            return channel
        return replace(channel, to_client=0, to_lsp=channel.to_client + channel.to_lsp)

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
