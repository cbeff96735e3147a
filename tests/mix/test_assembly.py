"""The hybrid dataset: how many rows of each kind are taken."""

from hypothesis import example, given
from hypothesis import strategies as st

from entp_hf.mix.assembly import quotas

KINDS = ("passed", "generated", "high_quality")
numbers = st.integers(0, 60)


def test_wishes_are_met_where_there_are_rows() -> None:
    wishes = {"generated": 0.5, "high_quality": 0.2}
    assert quotas(10, wishes, dict.fromkeys(KINDS, 100)) == {"passed": 3, "generated": 5, "high_quality": 2}


def test_what_one_kind_lacks_the_others_fill() -> None:
    assert quotas(20, {"generated": 0.5}, {"passed": 60, "generated": 0}) == {"passed": 20, "generated": 0}
    assert quotas(20, {"generated": 0.5}, {"passed": 2, "generated": 60}) == {"passed": 2, "generated": 18}
    assert quotas(100, {"generated": 0.5}, {"passed": 40, "generated": 27}) == {"passed": 40, "generated": 27}


@given(
    target=st.integers(1, 100),
    ratios=st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda pair: sum(pair) <= 1),
    rows=st.tuples(numbers, numbers, numbers),
)
@example(target=7, ratios=(0.5, 0.5), rows=(50, 50, 50))
def test_the_target_is_filled_as_far_as_rows_reach(target: int, ratios: tuple, rows: tuple) -> None:
    available = dict(zip(KINDS, rows, strict=True))
    wishes = dict(zip(KINDS[1:], ratios, strict=True))
    taken = quotas(target, wishes, available)
    assert sum(taken.values()) == min(target, sum(rows))
    assert all(0 <= taken[kind] <= available[kind] for kind in KINDS)
    for kind, ratio in wishes.items():
        wished = min(available[kind], round(target * ratio))
        assert taken[kind] >= wished - 1  # two wishes of a half may round up together
        if taken[kind] > wished and kind == "generated":
            assert taken["passed"] == available["passed"]  # only where there is nothing else
