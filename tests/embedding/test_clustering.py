"""Clusters and representatives: planted structure is found, shares are as worked out by hand, small inputs pass."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score

from entp_hf.embedding.clustering import Clusters, cluster, default_grid, map_of, representatives


def unit(points) -> np.ndarray:
    points = np.asarray(points, dtype=np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def planted(*sizes: int, spread: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points about orthogonal directions, shuffled, and the number of each point's direction."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return unit(np.eye(16)[truth] + spread * rng.normal(size=(len(truth), 16))), truth


def on_circle(*degrees: float) -> np.ndarray:
    return unit([[np.cos(np.radians(d)), np.sin(np.radians(d))] for d in degrees])


def test_planted_clusters_are_found_by_the_silhouette():
    points, truth = planted(50, 40, 30, 20)
    found = cluster(points, [2, 3, 4, 5, 8])
    assert found.k == 4
    assert found.sizes() == [50, 40, 30, 20]
    assert np.array_equal(found.label, truth)  # labels go by falling size, and so did we
    assert [k for k, _ in found.curve] == [2, 3, 4, 5, 8]
    assert max(found.curve, key=lambda entry: entry[1])[0] == 4
    assert found.silhouette == pytest.approx(dict(found.curve)[4], abs=1e-4) and found.silhouette > 0.9
    assert np.allclose(np.linalg.norm(found.centroid, axis=1), 1, atol=1e-5)
    assert found.warnings() == []
    assert np.array_equal((points @ found.centroid.T).argmax(axis=1), found.label)


def test_the_default_grid_finds_them_too():
    points, truth = planted(60, 40, 20)
    assert np.array_equal(cluster(points).label, truth)


def test_without_faiss_sklearn_finds_the_same(monkeypatch: pytest.MonkeyPatch):
    points, truth = planted(50, 40, 30, 20, spread=0.2)
    by_faiss = cluster(points, [2, 3, 4, 5, 8])
    monkeypatch.setitem(sys.modules, "faiss", None)  # as if it were not installed
    with pytest.raises(ImportError):
        import faiss  # noqa: F401
    found, again = (cluster(points, [2, 3, 4, 5, 8], seed=2) for _ in range(2))
    assert found.k == 4
    assert np.array_equal(found.label, truth) and np.array_equal(by_faiss.label, truth)
    assert found.silhouette == pytest.approx(by_faiss.silhouette, abs=1e-4)
    assert np.allclose(np.linalg.norm(found.centroid, axis=1), 1, atol=1e-5)
    assert np.array_equal(found.centroid, again.centroid)


def test_the_same_seed_gives_the_same_clusters():
    points, _ = planted(30, 30, 30, spread=0.6)
    one, other = (cluster(points, [2, 5, 9], seed=3) for _ in range(2))
    assert np.array_equal(one.label, other.label) and one.curve == other.curve


def test_silhouettes_of_a_sample_choose_the_same_number():
    points, _ = planted(80, 60, 40)
    assert cluster(points, [2, 3, 6], sample=60).k == 3


def test_a_fit_on_a_sample_is_nearly_that_on_all_rows(monkeypatch):
    points, truth = planted(*[2000] * 12, spread=0.3)  # 3,072 of the 24,000 rows are fitted on
    some = cluster(points, [12])
    monkeypatch.setattr("entp_hf.embedding.clustering.POINTS", len(points))
    whole = cluster(points, [12])
    assert 0.95 < normalized_mutual_info_score(some.label, whole.label) < 1
    assert normalized_mutual_info_score(some.label, truth) > normalized_mutual_info_score(whole.label, truth) - 0.01
    near = [float((points * found.centroid[found.label]).sum(axis=1).mean()) for found in (some, whole)]
    assert near[0] > near[1] - 0.005
    monkeypatch.setattr("entp_hf.embedding.clustering.BLOCK", 777)
    assert cluster(points, [12]).label.tolist() == whole.label.tolist()


@pytest.mark.parametrize("seed", [0, 2**31, 2**32 - 1])
def test_every_seed_that_the_configuration_lets_pass_works(seed):
    assert cluster(planted(9, 9)[0], [2], seed=seed).sizes() == [9, 9]


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_few_rows_are_one_cluster(number):
    points = on_circle(*range(number)) if number else np.zeros((0, 2), np.float32)
    found = cluster(points)
    assert (found.k, found.sizes(), found.silhouette, found.curve) == (1, [number], 0.0, [])
    assert found.warnings() == []
    assert representatives(points, found, 5) == [[], [0], [0], [1, 0]][number]


def test_counts_that_the_rows_do_not_reach_are_left_out():
    points, _ = planted(3, 3)
    assert [k for k, _ in cluster(points, [1, 2, 5, 6, 50]).curve] == [2, 5]
    assert cluster(points, [50]).k == 1


def test_rows_that_are_all_alike_are_one_cluster():
    found = cluster(on_circle(*[30] * 12), [2, 3])
    assert found.sizes() == [12]
    assert len(representatives(on_circle(*[30] * 12), found, 4)) == 4


@pytest.mark.parametrize(
    ("rows", "grid"),
    [
        (0, []),
        (2, []),
        (3, [2]),
        (4, [2]),
        (16, [2, 3, 4, 5]),
        (100, [2, 3, 5, 6, 8, 11, 15, 20]),
        (10_000, [25, 34, 45, 61, 82, 110, 149, 200]),
    ],
)
def test_the_default_grid(rows, grid):
    assert default_grid(rows) == grid


def test_a_collapse_is_warned_of():
    label = np.repeat([0, 1, 2], [60, 30, 10])
    centroid = np.eye(3, dtype=np.float32)
    assert Clusters(label, centroid, 0.3).warnings() == [
        "the largest of 3 clusters holds 60% of the rows (bound 0.5); try more cluster_counts, or look for "
        "boilerplate that all rows share"
    ]
    even = np.repeat([0, 1, 2], [50, 40, 10])
    assert Clusters(even, centroid, 0.3).warnings() == []
    assert Clusters(even, centroid, 0.01).warnings()[0].startswith("the mean silhouette is 0.010 (bound 0.02)")
    assert Clusters(np.zeros(9, np.int64), centroid[:1], 0.0).warnings() == []


# ---- representatives


def one_cluster(points: np.ndarray) -> Clusters:
    return Clusters(np.zeros(len(points), np.int64), unit(points.mean(axis=0, keepdims=True)), 0.0)


def test_the_medoid_comes_first_and_then_the_farthest_each_time():
    # medoid: 40 (0.9 to the mean at 42); then 90, 50 away; then 0, 40 away; then 70, 20 from 90 (60 is 20 from 40 too)
    points = on_circle(0, 5, 35, 40, 45, 48, 70, 90)
    mean = points.mean(axis=0)
    assert int((points @ mean).argmax()) == 3
    assert representatives(points, one_cluster(points), 1) == [3]
    assert representatives(points, one_cluster(points), 2) == [3, 7]
    assert representatives(points, one_cluster(points), 3) == [3, 7, 0]
    assert representatives(points, one_cluster(points), 4) == [3, 7, 0, 6]


def test_a_pick_is_far_from_all_picks_and_not_only_from_one():
    # After 0 (medoid) and 60, the row at 58 is far from the first and next to the second.
    points = on_circle(0, 0.1, -0.1, 0.2, -0.2, 58, 60, -30)
    chosen = representatives(points, one_cluster(points), 3)
    assert chosen[1:] == [6, 7]


def test_shares_go_by_the_square_root_of_the_size():
    label = np.repeat([0, 1, 2], [64, 16, 4])
    points, _ = planted(84)
    found = Clusters(label, np.eye(3, 16, dtype=np.float32), 0.0)
    chosen = representatives(points, found, 14)  # roots 8, 4, 2
    assert [int(n) for n in np.bincount(label[chosen])] == [8, 4, 2]


@pytest.mark.parametrize(
    ("sizes", "total", "shares"),
    [
        ([100, 1, 1, 1, 1, 1, 1], 8, [2, 1, 1, 1, 1, 1, 1]),  # one each before the large one has more
        ([100, 1, 1, 1, 1, 1, 1], 5, [1, 1, 1, 1, 1, 0, 0]),  # largest first
        ([1, 9, 2, 4], 2, [0, 1, 0, 1]),  # ... whatever their order: a later round finds some used up
        ([100, 4, 4], 100, [50, 2, 2]),  # every second row at most
        ([5, 3], 100, [3, 2]),  # ... rounded up
        ([9, 9], 0, [0, 0]),
        ([9, 9], -3, [0, 0]),
    ],
)
def test_shares_at_the_bounds(sizes, total, shares):
    label = np.repeat(np.arange(len(sizes)), sizes)
    points, _ = planted(len(label))
    chosen = representatives(points, Clusters(label, np.eye(len(sizes), 16, dtype=np.float32), 0.0), total)
    assert [int(n) for n in np.bincount(label[chosen], minlength=len(sizes))] == shares
    assert len(set(chosen)) == len(chosen)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(0, 80), st.integers(0, 9))
def test_never_more_than_asked_never_twice_never_the_ineligible(sizes, total, seed):
    label = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(seed)
    points = unit(rng.normal(size=(len(label), 4))) if len(label) else np.zeros((0, 4), np.float32)
    can = rng.random(len(label)) < 0.7
    chosen = representatives(points, Clusters(label, np.eye(len(sizes), 4, dtype=np.float32), 0.0), total, can)
    most = [-(-int((can & (label == c)).sum()) // 2) for c in range(len(sizes))]
    assert len(chosen) == min(total, sum(most)) == len(set(chosen))
    assert can[chosen].all()
    got = np.bincount(label[chosen], minlength=len(sizes)) if chosen else np.zeros(len(sizes), int)
    assert (got <= most).all()
    if total >= sum(m > 0 for m in most):
        assert (got[np.array(most) > 0] > 0).all()


# ---- the map


def test_the_map_holds_every_representative_and_a_sample():
    points, _ = planted(1000, 900, 100)
    found = cluster(points, [3])
    marked = set(representatives(points, found, 40))
    entries = map_of(points, found, marked, lambda i: (f"id{i}", f"text {i}" * 40))
    assert len(entries) == 1500
    assert {e["id"] for e in entries if e["representative"]} == {f"id{i}" for i in marked}
    assert all(e["cluster"] == found.label[int(e["id"][2:])] and len(e["text"]) == 120 for e in entries)
    assert np.isfinite([[e["x"], e["y"]] for e in entries]).all()
    assert map_of(points[:2], found, set(), lambda i: ("a", "")) == []
