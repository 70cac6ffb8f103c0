"""The moments of an update at which a poison is signed, or opened by a secret, and who can publish it there."""

from __future__ import annotations

import pytest

from superscalar_ref.check.poison_ceremony import SECRETS, Names, Step, steps

NAMES = Names(
    frozenset({"funding", "state 0"}),
    frozenset({"funding", "state 1"}),
    frozenset({"state 1"}),
    frozenset({"poison 0"}),
    frozenset({"poison 1"}),
    frozenset({"penalty"}),
)


def ceremony(design: str, *, lsp: bool) -> list[Step]:
    return list(steps(design, NAMES, lsp))


def test_behind_a_secret_the_lsp_can_always_publish_a_poison_and_the_others_once_it_is_revealed() -> None:
    for with_lsp, without in zip(ceremony("secret", lsp=False), ceremony("secret", lsp=True), strict=True):
        assert with_lsp.story == without.story
        revealed = any("reveals" in says for says in with_lsp.story)
        assert "poison 0" in with_lsp.complete
        assert ("poison 0" in with_lsp.kept) == (not revealed)
        assert ("poison 0" in without.complete) == revealed
        assert "poison 1" not in without.complete - without.kept


def test_every_order_of_the_messages_of_an_honest_lsp_is_among_the_stops() -> None:
    """The second version and the secret go out in either order, and nobody counts before both are in."""
    found = ceremony("secret", lsp=False)
    assert len({step.story for step in found}) == len(found) == 7
    ends = {step.story[-2:] for step in found if step.counted}
    assert len(ends) == 2
    for step in found:
        told = " ".join(step.story)
        assert step.counted == ("revoked" in told)
        assert not step.counted or ("everybody gets" in told and "reveals" in told)


@pytest.mark.parametrize("design", ["after", "with", "before", "stock", "none", *SECRETS])
def test_what_is_kept_back_is_complete_and_the_second_state_waits_for_what_hangs_on_it(design: str) -> None:
    for lsp in (False, True):
        for step in ceremony(design, lsp=lsp):
            assert lsp or step.kept <= step.complete
            assert not step.counted or "state 1" not in step.kept
    assert any("poison 0" in step.complete for step in ceremony("with", lsp=True)[:1])
    assert not any("poison 0" in step.complete for step in ceremony("after", lsp=True)[:3])


def test_one_secret_for_all_versions_opens_the_newest_too() -> None:
    opened = [step.complete for step in ceremony("secret-shared", lsp=True) if "reveals" in step.story[-1]]
    assert opened
    assert all({"poison 0", "poison 1"} <= complete for complete in opened)
