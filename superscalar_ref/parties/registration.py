"""How a client hands its part to its watchtowers: what is asked of which tower, and what it has said since.

Laws of this module:

* Only finished transactions that answer what others publish are handed over (``protocol.watchtower.ANSWERS``): never a
  kickoff, which would begin an exit; never a commitment, which may be revoked later; never a key, secret or nonce.
* What a tower has not acknowledged is asked again: on a restart, on every reminder of the LSP, or on demand.
"""

from __future__ import annotations

from collections.abc import Iterable

from superscalar_ref.parties import tower_messages as t
from superscalar_ref.parties.archive import Archive
from superscalar_ref.protocol.participant import Participant, unregistered


class Registrar:
    """What one client has asked of its towers in this life of its process."""

    def __init__(self) -> None:
        self._asked: set[tuple[str, str]] = set()

    def again(self, *towers: str) -> None:
        """Nothing counts as asked of these any more."""
        self._asked = {(tower, name) for tower, name in self._asked if tower not in towers}

    def letters(
        self, party: Participant, archive: Archive | None, signatures: dict[str, bytes]
    ) -> list[tuple[str, bytes]]:
        """(tower, message) for whatever is held, is a tower's to keep, and was not asked of it yet."""
        found = []
        for tower, missing in unregistered(party).items():
            new = sorted(name for name in missing if (tower, name) not in self._asked)
            if new and archive is not None:
                self._asked |= {(tower, name) for name in new}
                forms = tuple(entry_of(archive, name, signatures[name]) for name in new)
                found.append((tower, t.encode(t.Register(forms))))
        return found


def entry_of(archive: Archive, name: str, signature: bytes) -> t.EntryForm:
    """A transaction that is held complete, with its signature (64 bytes), as a tower takes it."""
    realised = archive.realised[name]
    spent = realised.spent[0]
    complete = realised.signed(signature)
    return t.EntryForm(str(realised.template.kind), complete.hex, spent.amount_sat, spent.script_pubkey.hex())


def names_of(archive: Archive, party: Participant, txids: Iterable[str]) -> frozenset[str]:
    """The names of the held transactions with these txids; a txid of another is a channel's, or nobody's."""
    known = {archive.realised[name].txid: name for name in party.signer.held if name in archive.realised}
    return frozenset(known[txid] for txid in txids if txid in known)
