"""Growing trees: known ones by hand, and what holds for all of them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superscalar_ref.errors import InputError
from superscalar_ref.protocol.shape import MAX_OUTPUTS, Level, NodeKind, Shape, Tree, grow, split, stock_groups


def names(count: int) -> list[str]:
    return [f"c{number}" for number in range(count)]


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    arities = [
        *draw(st.lists(st.integers(1, 6), max_size=3)),
        draw(st.integers(2, 6)),
    ]
    shape = Shape.of(arities, draw(st.integers(0, 5)), draw(st.integers(1, 4)))
    return grow(shape, names(draw(st.integers(1, 150))))


def test_the_binary_tree_of_127_clients() -> None:
    tree = grow(Shape((Level(2, "dw"),)), names(127))
    assert len(tree.nodes()) == 253
    assert tree.transactions == 506
    assert tree.depth == 7
    assert sorted({leaf.depth for leaf in tree.leaves()}) == [6, 7]


def test_mixed_arities_static_top_root_first() -> None:
    tree = grow(Shape.of([2, 4, 8], static=2), names(64))
    assert [len(node.children) for node in tree.path_to("c0")] == [2, 4, 8, 0]
    assert [node.kind for node in tree.path_to("c0")] == [
        NodeKind.STATIC,
        NodeKind.STATIC,
        NodeKind.DW,
        NodeKind.LEAF,
    ]
    assert [node.path for node in tree.path_to("c63")] == ["r", "r.1", "r.1.3", "r.1.3.7"]
    assert tree.transactions == 1 + 2 + 8 * 2 + 64 * 2
    assert tree.dw_layers_on_path("c0") == 2
    assert tree.output_counts(tree.root) == (2,)
    assert tree.output_counts(tree.node("r.0.0")) == (1, 8)
    assert tree.output_counts(tree.leaf_of("c0")) == (1, 2)


def test_the_last_level_repeats_as_a_dw_level() -> None:
    tree = grow(Shape.of([2], static=1), names(8))
    assert [node.kind.value for node in tree.path_to("c7")] == ["static", "dw", "dw", "leaf"]


def test_more_static_levels_than_arities_repeat_the_last_arity() -> None:
    assert Shape.of([3, 2], static=3).levels == (Level(3, "static"), Level(2, "static"), Level(2, "static"))


def test_a_ragged_tree_has_leaves_at_different_depths() -> None:
    tree = grow(Shape.of([2]), names(3))
    assert [(leaf.path, leaf.clients) for leaf in tree.leaves()] == [
        ("r.0.0", ("c0",)),
        ("r.0.1", ("c1",)),
        ("r.1", ("c2",)),
    ]


def test_one_client_is_one_leaf_whatever_the_levels() -> None:
    tree = grow(Shape.of([2, 4], static=2), names(1))
    assert (tree.root.kind, tree.depth, tree.transactions) == (NodeKind.LEAF, 0, 2)


def test_a_node_makes_no_more_groups_than_leaves_are_needed() -> None:
    tree = grow(Shape.of([8], leaf_k=2), names(9))
    assert [child.clients for child in tree.root.children] == [
        ("c0", "c1", "c2"),
        ("c3", "c4", "c5"),
        ("c6", "c7", "c8"),
    ]


def test_arity_one_adds_a_layer() -> None:
    tree = grow(Shape.of([1, 2]), names(2))
    assert [node.path for node in tree.nodes()] == ["r", "r.0", "r.0.0", "r.0.1"]
    assert tree.dw_layers_on_path("c0") == 3


@pytest.mark.parametrize(
    ("clients", "leaf_k", "groups"),
    [
        (1, 1, (("c0",),)),
        (4, 2, (("c0", "c1"), ("c2", "c3"))),
        (3, 2, (("c0", "c1"), ("c2",))),
        (1, 3, (("c0",),)),
        (4, 3, (("c0", "c1"), ("c2",), ("c3",))),
        (9, 3, (("c0", "c1", "c2"), ("c3", "c4", "c5"), ("c6", "c7", "c8"))),
    ],
)
def test_stock_groups(clients: int, leaf_k: int, groups: tuple[tuple[str, ...], ...]) -> None:
    tree = grow(Shape.of([2], leaf_k=leaf_k), names(clients))
    assert tree.stock_groups(tree.root) == groups
    assert tree.output_counts(tree.root) == (1, clients + len(groups))


def test_a_node_that_is_no_leaf_has_no_stock() -> None:
    assert stock_groups(grow(Shape.of([2]), names(2)).root, 1) == ()


@pytest.mark.parametrize(
    ("make", "place", "rule"),
    [
        (lambda: Shape(()), "arity", "R-SHAPE"),
        (lambda: Shape.of([]), "arity", "R-SHAPE"),
        (lambda: Shape.of([2, 0]), "arity of level 2", "R-SHAPE"),
        (lambda: Shape.of([-1]), "arity of level 1", "R-SHAPE"),
        (lambda: Shape.of([2], static=-1), "static", "R-SHAPE"),
        (lambda: Shape.of([2], static=10**9), "static", "R-SHAPE"),
        (lambda: Shape.of([2] * 65), "arity", "R-SHAPE"),
        (lambda: Shape.of([2], leaf_k=0), "leaf k", "R-SHAPE"),
        (lambda: Shape((Level(2, "dw"), Level(2, "static"))), "level 2", "R-SHAPE"),
        (lambda: Shape.of([MAX_OUTPUTS + 1]), "arity of level 1", "R-TRUC-SIZE"),
        (lambda: Shape.of([2], leaf_k=15), "leaf k", "R-TRUC-SIZE"),
        (lambda: grow(Shape.of([2]), []), "clients", "R-SHAPE"),
        (lambda: grow(Shape.of([2]), ["a", "b", "a"]), "clients", "R-SHAPE"),
        (lambda: grow(Shape.of([2]), ["a", ""]), "clients", "R-SHAPE"),
        (lambda: grow(Shape.of([1]), names(2)), "arity of level 1", "R-SHAPE"),
        (lambda: grow(Shape.of([2, 1]), names(3)), "arity of level 2", "R-SHAPE"),
        (lambda: grow(Shape.of([2]), names(2)).leaf_of("zoe"), "client 'zoe'", "R-SHAPE"),
        (lambda: grow(Shape.of([2]), names(2)).node("r.2"), "node 'r.2'", "R-SHAPE"),
    ],
)
def test_a_shape_that_makes_no_sense_is_one_error_with_its_place(make, place: str, rule: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as caught:
        make()
    assert (caught.value.place, caught.value.rule, caught.value.exit_code) == (place, rule, 2)
    assert "\n" not in str(caught.value)


def test_the_widest_version_3_shapes_are_taken() -> None:
    assert grow(Shape.of([MAX_OUTPUTS]), names(MAX_OUTPUTS)).depth == 1
    assert len(grow(Shape.of([2], leaf_k=14), names(196)).leaves()) == 1


@given(trees())
def test_every_client_has_exactly_one_leaf_in_the_order_given(tree: Tree) -> None:
    assert tuple(client for leaf in tree.leaves() for client in leaf.clients) == tree.clients
    for client in tree.clients:
        path = tree.path_to(client)
        assert path[0] is tree.root
        assert path[-1] == tree.leaf_of(client)
        assert all(child in parent.children for parent, child in itertools.pairwise(path))


@given(trees())
def test_every_node_is_well_formed(tree: Tree) -> None:
    shape = tree.shape
    for node in tree.nodes():
        assert node.clients
        if node.kind is NodeKind.LEAF:
            assert len(node.clients) <= shape.leaf_k**2
            assert not node.children
            continue
        level = shape.level(node.depth)
        assert node.kind.value == level.kind
        assert len(node.clients) > shape.leaf_k**2
        assert len(node.children) <= level.arity
        assert len(node.children) > 1 or level.arity == 1
        sizes = [len(child.clients) for child in node.children]
        assert max(sizes) - min(sizes) <= 1
        assert tuple(client for child in node.children for client in child.clients) == node.clients
        assert [child.path for child in node.children] == [f"{node.path}.{at}" for at in range(len(sizes))]


@given(trees())
def test_stock_groups_share_out_a_leaf(tree: Tree) -> None:
    for leaf in tree.leaves():
        groups = tree.stock_groups(leaf)
        assert len(groups) == min(tree.shape.leaf_k, len(leaf.clients))
        assert all(0 < len(group) <= tree.shape.leaf_k for group in groups)
        assert tuple(client for group in groups for client in group) == leaf.clients


@given(st.lists(st.text(), min_size=1), st.data())
def test_split_keeps_order_and_balance(items: list[str], data: st.DataObject) -> None:
    groups = split(tuple(items), data.draw(st.integers(1, len(items))))
    assert [item for group in groups for item in group] == items
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
