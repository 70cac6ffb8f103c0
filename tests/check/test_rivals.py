"""The wrong designs that must be refuted, whatever else changes: each has a variant, a property and a page.

That each is refuted just as it says is for ``test_check``, which judges all variants.
"""

from __future__ import annotations

import pytest

from superscalar_ref.check.judge import KNOWN
from superscalar_ref.spec.findings import load_findings
from superscalar_ref.spec.load import load_specification

RIVALS = {
    "both defaults at one height": "V-EXPIRY-RACE",
    "an end without the exit's time, in the parameters": "V-END-NO-DELAYS",
    "an end without the exit's time, in a proposal": "V-END-NEAR",
    "poison with its own state": "V-POISON-WITH",
    "replace instead of chain": "V-SALE-REPLACED",
    "chain on a channel output": "V-SALE-ON-CHANNEL",
    "record after sending": "V-RECORD-LATE",
    "missing record after restore": "V-RECORD-LOST",
    "no kickoffs between states": "V-NO-KICKOFF",
    "step below the confirmation bound": "V-STEP-SHORT",
    "counters restarted on the same outpoint": "V-COUNTERS-RESTARTED",
    "anchors without poison for a client without coins": "V-POISON-NONE",
    "signatures released root first": "V-PARENT-FIRST",
    "the same in an update, to its loss on the chain": "V-INTERIOR-FIRST",
    "an alternate on the funding output together with refresh": "V-LIFE-EXTENDED",
    "an alternate on the funding output alone": "V-ALTERNATE-FUNDING",
    "paid before it is held": "V-SALE-PAID-FIRST",
    "handed over before it is paid": "V-SALE-HANDED-FIRST",
    "an old commitment of the LSP that is not revoked": "V-PAYMENT-UNREVOKED-LSP",
    "an old commitment of a client that is not revoked": "V-PAYMENT-UNREVOKED-CLIENT",
    "poison of the stock only": "V-POISON-STOCK-ONLY",
}


@pytest.mark.parametrize("rival", RIVALS)
def test_a_rival_has_a_variant_and_a_page_repeats_it(rival: str) -> None:
    specification = load_specification()
    assert specification.variant(RIVALS[rival]).breaks in KNOWN
    rows = [repeat for page in load_findings(specification) for repeat in page.repeats]
    assert any((row.target, row.finds) == (RIVALS[rival], "refuted") for row in rows)
