"""The blueprint: value, names, needs, kits, paths, ends, and what it refuses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superscalar_ref.errors import InputError
from superscalar_ref.protocol.blueprint import (
    ALTERNATES,
    FUNDING,
    Blueprint,
    Channel,
    Economy,
    LeafContents,
    Locks,
    Terms,
    build,
    close,
    equal_shares,
    fresh_versions,
    leaf_shares,
    node_money,
)
from superscalar_ref.protocol.chain_links import Sale, cut_through, link, link_cost, output_cost
from superscalar_ref.protocol.shape import NodeKind, Shape, grow
from superscalar_ref.protocol.transaction import Kind, LockKind, Outpoint, Role, Template

USUAL = Economy(feerate=2, anchor=240, dust=330)
LOCKS = Locks(step=144, states=4, to_self_delay=144, end=10_000, stock_lock_blocks=432)


def terms_of(
    clients: int,
    arities: tuple[int, ...] = (2,),
    static: int = 0,
    leaf_k: int = 1,
    economy: Economy = USUAL,
    **locks: Any,
) -> Terms:
    tree = grow(Shape.of(arities, static=static, leaf_k=leaf_k), [f"c{number}" for number in range(clients)])
    return Terms("f", "L", tree, economy, replace(LOCKS, **locks), ((Outpoint("coin", 0), 10**9),))


def contents_of(
    terms: Terms, to_client: int = 20_000, to_lsp: int = 30_000, stock: int = 50_000
) -> dict[str, LeafContents]:
    return {
        leaf.path: LeafContents(
            tuple(Channel(client, to_client, to_lsp) for client in leaf.clients),
            (stock,) * len(terms.tree.stock_groups(leaf)),
        )
        for leaf in terms.tree.leaves()
    }


def fresh(terms: Terms, **amounts: int) -> Blueprint:
    return build(terms, fresh_versions(terms.tree), contents_of(terms, **amounts))


SHAPES: list[dict[str, Any]] = [
    {"clients": 1},
    {"clients": 2},
    {"clients": 3},
    {"clients": 5, "arities": (3, 2)},
    {"clients": 7, "arities": (2, 4), "static": 1},
    {"clients": 9, "leaf_k": 2},
    {"clients": 20, "leaf_k": 3, "static": 1},
    {"clients": 6, "kickoffs": "root"},
    {"clients": 4, "end_default": "classic"},
    {"clients": 4, "end_default": "both", "expiry_gap": 144},
    {"clients": 4, "stock_lock": "cltv-before"},
    {"clients": 4, "economy": Economy(0, 0, 0)},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value_is_conserved_names_are_unique_and_parents_come_first(shape: dict[str, Any]) -> None:
    conserved(fresh(terms_of(**shape)))


def conserved(blueprint: Blueprint) -> None:
    """Every transaction pays what it spends; no output is paid twice; nothing refers to what comes later."""
    amounts = dict(blueprint.terms.coins)
    for name, template in blueprint.templates.items():
        assert template.name == name
        assert sum(amounts[spend.outpoint] for spend in template.spends) == template.amount_out() + template.fee
        assert template.fee >= 0
        for index, output in enumerate(template.outputs):
            assert output.amount >= (0 if output.role is Role.ANCHOR else max(blueprint.terms.economy.dust, 1))
            amounts[template.outpoint(index)] = output.amount


@settings(max_examples=40, deadline=None)
@given(
    clients=st.integers(1, 12),
    arities=st.lists(st.integers(2, 4), min_size=1, max_size=3),
    static=st.integers(0, 2),
    leaf_k=st.integers(1, 3),
    feerate=st.integers(0, 20),
    anchor=st.sampled_from([0, 240]),
    data=st.data(),
)
def test_value_is_conserved_whatever_the_shape_and_the_balances(
    clients: int, arities: list[int], static: int, leaf_k: int, feerate: int, anchor: int, data: st.DataObject
) -> None:
    terms = terms_of(clients, tuple(arities), static, leaf_k, Economy(feerate, anchor, 330))
    amount = st.integers(0, 10**6)
    contents = {
        path: LeafContents(
            tuple(Channel(c.client, data.draw(amount) + 330, data.draw(amount)) for c in leaf.channels),
            tuple(data.draw(amount) + 330 for _ in leaf.stocks),
        )
        for path, leaf in contents_of(terms).items()
    }
    versions = {path: data.draw(st.integers(0, 3)) for path in fresh_versions(terms.tree)}
    blueprint = build(terms, versions, contents)
    conserved(blueprint)
    assert blueprint == build(terms, dict(reversed(versions.items())), dict(reversed(contents.items())))
    closing = close(blueprint, 1)
    assert closing == close(build(terms, dict(reversed(versions.items())), contents), 1)
    assert closing.amount_out() + closing.fee == blueprint.templates[FUNDING].outputs[0].amount
    parties = (*terms.tree.clients, "L")
    assert sum(blueprint.owed(party) for party in parties) == sum(leaf.total for leaf in contents.values())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_tick_renames_exactly_what_lies_below_it(shape: dict[str, Any]) -> None:
    terms = terms_of(**shape)
    old = fresh(terms)
    for node in terms.tree.nodes():
        if not node.has_counter:
            continue
        versions = {**old.versions, node.path: 1}
        new = build(terms, versions, old.contents)
        kept = {name for name in old.templates if new.templates.get(name) == old.templates[name]}
        assert kept == old.templates.keys() & new.templates.keys(), "one name, two transactions"
        changed = {name for name in old.templates if name not in new.templates}
        first = next(n for n, t in old.templates.items() if n in changed and t.kind is Kind.STATE)
        assert first.startswith(f"state:{node.path}@")
        below = {first}
        for name, template in old.templates.items():
            if any(spend.outpoint.transaction in below for spend in template.spends):
                below.add(name)
        assert changed == below
        lock = new.templates[first[:-1] + "1"].spends[0].relative_lock
        assert lock == 2 * LOCKS.step
        assert old.templates[first].spends[0].relative_lock == 3 * LOCKS.step


def test_kits_needs_and_paths_of_a_small_factory() -> None:
    blueprint = fresh(terms_of(2))
    assert blueprint.path("c0") == ("kickoff:r@-", "state:r@0", "kickoff:r.0@0", "state:r.0@0.0")
    kit = blueprint.kit("c0")
    assert set(blueprint.path("c0")) <= kit
    assert "commitment:c0@0.0:c0" in kit
    assert "commitment:c0@0.0:L" not in kit, "the LSP's commitment is the LSP's alone"
    assert not any(".1" in name.partition("@")[0] for name in kit), "nothing of the other leaf"
    assert FUNDING not in kit
    assert blueprint.needs("c0", "kickoff:r.0@0") == {"state:r.0@0.0", "alternate:kickoff:r.0@0#0"}
    assert blueprint.needs("c0", "state:r.0@0.0") == {
        "commitment:c0@0.0:c0",
        "alternate:state:r.0@0.0#0",
        "alternate:state:r.0@0.0#1",
    }
    assert blueprint.needs("c0", "state:r@0") == {"kickoff:r.0@0", "alternate:state:r@0#0"}
    assert blueprint.needs("L", "state:r@0") == blueprint.needs("c0", "state:r@0") | {
        "kickoff:r.1@0",
        "alternate:state:r@0#1",
    }
    assert blueprint.needs("c0", "alternate:funding#0") == set()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_kits_are_closed_under_needs_and_can_be_signed_children_first(shape: dict[str, Any]) -> None:
    blueprint = fresh(terms_of(**shape))
    for party in (*blueprint.terms.tree.clients, "L"):
        kit = blueprint.kit_of(party)
        done: set[str] = set()
        for name in reversed(list(blueprint.templates)):
            if party in blueprint.templates[name].signers:
                assert blueprint.needs(party, name) <= kit
                assert blueprint.needs(party, name) <= done | set(kit) - {name}
                done.add(name)
        if party != "L":
            assert set(blueprint.path(party)) <= kit
            assert f"commitment:{party}@" in "".join(kit)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_clients_own_part_is_all_that_it_signs_and_needs(shape: dict[str, Any]) -> None:
    terms = terms_of(**shape)
    whole = fresh(terms)
    for client in terms.tree.clients:
        part = build(terms, whole.versions, whole.contents, client)
        assert all(whole.templates[name] == template for name, template in part.templates.items())
        assert part.kit(client) == whole.kit(client)
        assert all(part.needs(client, name) == whole.needs(client, name) for name in part.kit(client))
        assert (part.path(client), part.owed(client)) == (whole.path(client), whole.owed(client))
        signed = {name for name, template in whole.templates.items() if client in template.signers}
        assert signed <= part.templates.keys()
    with pytest.raises(InputError):
        build(terms, whole.versions, whole.contents, "stranger")


def alternates(blueprint: Blueprint) -> list[Template]:
    return [template for template in blueprint.templates.values() if template.kind is Kind.ALTERNATE]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_alternate_pays_each_client_its_share_less_fees_and_the_lsp_nothing(shape: dict[str, Any]) -> None:
    blueprint = fresh(terms_of(**shape))
    for template in alternates(blueprint):
        assert template.lock_time == LOCKS.end
        assert all(output.role is Role.WALLET and output.owner != "L" for output in template.outputs)
        (spend,) = template.spends
        source = blueprint.templates[spend.outpoint.transaction].outputs[spend.outpoint.index]
        clients = source.signers - {"L"}
        assert {output.owner for output in template.outputs} == clients
        assert template.signers == clients | {"L"}
        if source.role is Role.TREE:
            shares = Counter[str]()
            for leaf in blueprint.terms.tree.leaves():
                shares.update(leaf_shares(blueprint.contents[leaf.path], blueprint.terms.tree.stock_groups(leaf)))
            for output in template.outputs:
                assert output.amount >= shares[output.owner] - -(-template.fee // len(clients)) - 1


@pytest.mark.parametrize("mode", list(ALTERNATES))
def test_which_outputs_carry_an_alternate(mode: str) -> None:
    blueprint = fresh(terms_of(3, static=1, alternates=mode))
    kinds = set()
    for template in alternates(blueprint):
        parent = blueprint.templates[template.spends[0].outpoint.transaction]
        role = parent.outputs[template.spends[0].outpoint.index].role
        kinds.add(str(parent.kind) if role is Role.TREE else str(role))
    assert kinds == ALTERNATES[mode]
    if mode == "every":
        spent = {template.spends[0].outpoint for template in alternates(blueprint)}
        shared = {
            template.outpoint(index)
            for template in blueprint.templates.values()
            for index, output in enumerate(template.outputs)
            if output.role in (Role.TREE, Role.CHANNEL, Role.STOCK)
        }
        assert spent == shared


def test_the_classic_end_and_both_ends() -> None:
    classic = fresh(terms_of(2, end_default="classic"))
    assert alternates(classic) == []
    both = fresh(terms_of(2, end_default="both", expiry_gap=144))
    for blueprint, height in ((classic, LOCKS.end), (both, LOCKS.end + 144)):
        for template in blueprint.templates.values():
            for index, output in enumerate(template.outputs):
                if output.role in (Role.TREE, Role.CHANNEL):
                    of_state = template.kind is Kind.STATE
                    assert (output.lock_path is not None) == of_state
                    if output.lock_path:
                        assert (output.lock_path.kind, output.lock_path.blocks) == (LockKind.CLTV, height)
                        expiry = blueprint.templates[f"expiry:{template.name}#{index}"]
                        assert (expiry.lock_time, expiry.signers) == (height, frozenset("L"))
    assert alternates(both)


@pytest.mark.parametrize("step", [5, -5])
def test_heights_of_the_end_that_differ_with_the_depth(step: int) -> None:
    """Each transaction of the tree counts; what hangs on a link has its leaf's height."""
    terms = terms_of(8, static=1, leaf_k=2, height_step=step, end_default="both", expiry_gap=100)
    blueprint = fresh(terms)
    depths = {"funding": 0}
    for template in blueprint.templates.values():
        parent = template.spends[0].outpoint.transaction
        depths[template.name] = depths.get(parent, -1) + 1
        if template.kind is Kind.ALTERNATE:
            assert template.lock_time == LOCKS.end - step * depths[parent]
        if template.kind is Kind.EXPIRY and template.lock_time:
            assert template.lock_time == LOCKS.end + 100 - step * depths[parent]
            path = blueprint.templates[parent].outputs[template.spends[0].outpoint.index].lock_path
            assert path is not None
            assert path.blocks == template.lock_time
    leaf = next(name for name in depths if name.startswith("state:"))
    assert max(depths[one.spends[0].outpoint.transaction] for one in alternates(blueprint)) == depths[leaf] > 2
    index = next(n for n, one in enumerate(blueprint.templates[leaf].outputs) if one.role is Role.STOCK)
    stock = blueprint.templates[leaf].outputs[index]
    buyer = min(stock.signers - {"L"})
    sold = link(terms, Sale(leaf, index, 0, leaf, Channel(buyer, 1_000, 5_000)), stock)
    assert {one.lock_time for one in alternates(sold)} == {LOCKS.end - step * depths[leaf]}
    assert terms.end_rule() == f"both/every/heights {step}"


@pytest.mark.parametrize(
    ("lock", "kind", "blocks"),
    [
        ("csv", LockKind.CSV, 432),
        ("cltv-before", LockKind.CLTV, LOCKS.end - 432),
        ("cltv-after", LockKind.CLTV, LOCKS.end + 432),
    ],
)
def test_the_locks_of_the_stock(lock: str, kind: LockKind, blocks: int) -> None:
    blueprint = fresh(terms_of(4, leaf_k=2, stock_lock=lock))
    state = blueprint.templates["state:r@0"]
    stocks = [output for output in state.outputs if output.role is Role.STOCK]
    assert [output.signers for output in stocks] == [{"c0", "c1", "L"}, {"c2", "c3", "L"}]
    for output in stocks:
        assert output.lock_path is not None
        assert (output.lock_path.kind, output.lock_path.blocks) == (kind, blocks)
    expiry = blueprint.templates["expiry:state:r@0#4"]
    assert expiry.spends[0].relative_lock == (blocks if kind is LockKind.CSV else None)
    assert expiry.lock_time == (0 if kind is LockKind.CSV else blocks)


def test_without_kickoffs_between_states_a_state_spends_a_state() -> None:
    blueprint = fresh(terms_of(2, kickoffs="root"))
    assert [t.name for t in blueprint.templates.values() if t.kind is Kind.KICKOFF] == ["kickoff:r@-"]
    assert blueprint.templates["state:r.0@0.0"].spends[0].outpoint == Outpoint("state:r@0", 0)
    assert blueprint.path("c1") == ("kickoff:r@-", "state:r@0", "state:r.1@0.0")


def test_commitments_trim_dust_into_the_anchor() -> None:
    blueprint = fresh(terms_of(1), to_client=100, to_lsp=5_000)
    ours = blueprint.templates["commitment:c0@0:c0"]
    assert [(output.role, output.amount) for output in ours.outputs] == [(Role.WALLET, 5_000), (Role.ANCHOR, 100)]
    theirs = blueprint.templates["commitment:c0@0:L"]
    assert [(output.role, output.amount) for output in theirs.outputs] == [(Role.DELAYED, 5_000), (Role.ANCHOR, 100)]
    assert "sweep:commitment:c0@0:c0" not in blueprint.templates
    assert blueprint.templates["sweep:commitment:c0@0:L"].spends[0].relative_lock == LOCKS.to_self_delay


@pytest.mark.parametrize(
    ("clients", "leaf_k", "groups"), [(1, 1, [1]), (4, 2, [2, 2]), (3, 2, [2, 1]), (9, 3, [3, 3, 3])]
)
def test_stock_groups_of_a_leaf(clients: int, leaf_k: int, groups: list[int]) -> None:
    blueprint = fresh(terms_of(clients, leaf_k=leaf_k))
    stocks = [o for o in blueprint.templates["state:r@0"].outputs if o.role is Role.STOCK]
    assert [len(output.signers) - 1 for output in stocks] == groups
    assert blueprint.terms.tree.root.kind is NodeKind.LEAF


def test_a_close_pays_every_client_in_full_and_the_lsp_the_rest() -> None:
    blueprint = fresh(terms_of(3), to_client=20_000)
    template = close(blueprint, 2)
    paid = {output.owner: output.amount for output in template.outputs}
    assert {paid[client] for client in ("c0", "c1", "c2")} == {20_000}
    assert paid["L"] >= blueprint.owed("L")
    assert template.signers == {"c0", "c1", "c2", "L"}
    assert template.slot != close(blueprint, 3).slot
    poor = fresh(terms_of(3), to_client=0)
    assert [output.owner for output in close(poor, 1).outputs] == ["L"]


@given(st.integers(-(10**9), 10**9), st.integers(1, 9))
def test_equal_shares_add_up_and_differ_by_less_than_the_parties(amount: int, parties: int) -> None:
    shares = equal_shares(amount, tuple(f"c{number}" for number in range(parties)))
    assert sum(shares.values()) == amount
    assert max(shares.values()) - min(shares.values()) < parties


GOOD = terms_of(2)
FINE = contents_of(GOOD)
LEAF = FINE["r.0"]
VERSIONS = fresh_versions(GOOD.tree)
FIRST = LEAF.channels[0]
BOUGHT = Channel("c0", 0, 5_000, "s0")
STRANGE = replace(BOUGHT, client="c1")
SMALL = replace(BOUGHT, to_lsp=329)
ZERO = replace(LEAF, channels=(Channel("c0", 200, 100),))


@pytest.mark.parametrize(
    ("terms", "versions", "contents", "rule"),
    [
        (GOOD, VERSIONS, {"r.0": LEAF}, "R-LEAF-CONTENTS"),
        (GOOD, VERSIONS, {**FINE, "r.7": LEAF}, "R-LEAF-CONTENTS"),
        (GOOD, VERSIONS, {**FINE, "r.0": replace(LEAF, channels=())}, "R-LEAF-CONTENTS"),
        (GOOD, VERSIONS, {**FINE, "r.0": replace(LEAF, stocks=(1_000, 1_000))}, "R-LEAF-CONTENTS"),
        (GOOD, VERSIONS, {**FINE, "r.1": LEAF}, "R-LEAF-CONTENTS"),
        (GOOD, VERSIONS, {**FINE, "r.0": replace(LEAF, channels=(replace(FIRST, bought="s0"),))}, "R-LEAF-CONTENTS"),
        (GOOD, VERSIONS, {**FINE, "r.0": replace(LEAF, channels=(FIRST, FIRST))}, "R-LEAF-CONTENTS"),
        (GOOD, VERSIONS, {**FINE, "r.0": replace(LEAF, channels=(FIRST, BOUGHT, BOUGHT))}, "R-LEAF-CONTENTS"),
        (GOOD, VERSIONS, {**FINE, "r.0": replace(LEAF, channels=(FIRST, STRANGE))}, "R-LEAF-CONTENTS"),
        (GOOD, VERSIONS, {**FINE, "r.0": replace(LEAF, channels=(FIRST, SMALL))}, "R-DUST"),
        (GOOD, VERSIONS, {**FINE, "r.0": ZERO}, "R-DUST"),
        (GOOD, VERSIONS, {**FINE, "r.0": replace(LEAF, channels=(Channel("c0", -1, 9_999),))}, "R-DUST"),
        (GOOD, VERSIONS, {**FINE, "r.0": replace(LEAF, stocks=(329,))}, "R-DUST"),
        (GOOD, {"r": 0, "r.0": 0}, FINE, "R-ODOMETER"),
        (GOOD, {**VERSIONS, "r.9": 0}, FINE, "R-ODOMETER"),
        (GOOD, {**VERSIONS, "r": 4}, FINE, "R-ODOMETER"),
        (GOOD, {**VERSIONS, "r": -1}, FINE, "R-ODOMETER"),
        (replace(GOOD, coins=((Outpoint("coin", 0), 100_000),)), VERSIONS, FINE, "R-FUNDING-COVERED"),
        (replace(GOOD, coins=()), VERSIONS, FINE, "R-TERMS"),
        (replace(GOOD, coins=GOOD.coins * 2), VERSIONS, FINE, "R-TERMS"),
        (replace(GOOD, lsp="c0"), VERSIONS, FINE, "R-TERMS"),
        (terms_of(2, stock_lock="never"), VERSIONS, FINE, "R-TERMS"),
        (terms_of(2, end_default="none"), VERSIONS, FINE, "R-TERMS"),
        (terms_of(2, alternates="some"), VERSIONS, FINE, "R-TERMS"),
        (terms_of(2, kickoffs="none"), VERSIONS, FINE, "R-TERMS"),
        (terms_of(2, step=0), VERSIONS, FINE, "R-TERMS"),
        (terms_of(2, end=500_000_000), VERSIONS, FINE, "R-TERMS"),
        (terms_of(2, end=499_999_999, height_step=-1), VERSIONS, FINE, "R-TERMS"),
        (terms_of(2, end=40, height_step=10), VERSIONS, FINE, "R-TERMS"),
        (terms_of(2, stock_lock="cltv-before", end=432), VERSIONS, FINE, "R-TERMS"),
        (terms_of(2, economy=Economy(-1, 0, 0)), VERSIONS, FINE, "R-TERMS"),
    ],
)
def test_what_does_not_fit_is_one_error_with_its_rule(
    terms: Terms, versions: dict[str, int], contents: dict[str, LeafContents], rule: str
) -> None:
    with pytest.raises(InputError) as caught:
        build(terms, versions, contents)
    assert caught.value.rule == rule


def test_a_chain_that_is_cut_through_costs_the_stock_an_output_for_each_channel_that_lives() -> None:
    terms = terms_of(2)
    sales = [
        Sale("state:r.0@0.0", 1, 0, "state:r.0@0.0", Channel("c0", 0, 5_000), "s0"),
        Sale("state:r.0@0.0", 1, 1, "sale", Channel("c0", 700, 3_300), "s1"),
    ]
    states = {"state:r.0@0.0": "r.0"}
    ((stock,), whole) = LEAF.stocks, {}
    for apart in ((), ("s0",), ("s1",), ("s0", "s1")):
        after = cut_through(terms, FINE, states, sales, frozenset(apart))
        leaf = after["r.0"]
        assert [channel.bought for channel in leaf.channels] == ["", *apart]
        assert leaf.capacity_of("c0") == LEAF.capacity_of("c0") + 9_000
        assert leaf.stocks == (stock - 9_000 - len(apart) * output_cost(terms),)
        assert after["r.1"] == FINE["r.1"]
        # Each leaf holds as much as before: what is above it stands.
        whole[apart] = node_money(terms, after)["r"]
        assert whole[apart].amount == whole[()].amount == node_money(terms, FINE)["r"].amount
        assert whole[apart].shares["c0"] == whole[()].shares["c0"] - len(apart) * output_cost(terms)
    assert output_cost(terms) <= link_cost(terms)
    made = build(terms, VERSIONS, cut_through(terms, FINE, states, sales, frozenset({"s0"})))
    assert sorted(made.moved) == ["commitment:c0/s0@0.0:L", "commitment:c0/s0@0.0:c0"]
    assert "alternate:state:r.0@0.0#1" in made.templates, "the end pays it too"


def test_coins_that_just_cover_the_factory() -> None:
    amount = fresh(GOOD).templates[FUNDING]
    need = amount.outputs[0].amount + amount.fee
    exact = replace(GOOD, coins=((Outpoint("coin", 0), need),))
    funding = build(exact, VERSIONS, FINE).templates[FUNDING]
    assert len(funding.outputs) == 1
    with pytest.raises(InputError, match=f"{need} sat are needed"):
        build(replace(exact, coins=((Outpoint("coin", 0), need - 1),)), VERSIONS, FINE)


def test_127_clients() -> None:
    terms = terms_of(127)
    blueprint = fresh(terms)
    conserved(blueprint)
    assert sum(t.kind in (Kind.KICKOFF, Kind.STATE) for t in blueprint.templates.values()) == terms.tree.transactions
    assert all(len(blueprint.path(client)) == 2 * len(terms.tree.path_to(client)) for client in terms.tree.clients)
