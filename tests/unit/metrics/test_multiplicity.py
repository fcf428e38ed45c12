import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xtalshift.metrics.multiplicity import correct_holm

chances = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_holm_by_hand():
    # ordered 0.01 0.02 0.03 times 3 2 1 is 0.03 0.04 0.03, never falling: 0.03 0.04 0.04
    found = correct_holm(np.array([0.03, np.nan, 0.01, 0.02]))
    np.testing.assert_allclose(found, [0.04, np.nan, 0.03, 0.04])


def test_no_test_and_one_test_need_no_correction():
    assert correct_holm(np.array([])).tolist() == []
    assert correct_holm(np.array([0.2])).tolist() == [0.2]
    assert np.isnan(correct_holm(np.array([np.nan, np.nan]))).all()


def test_p_values_end_at_one_and_the_input_is_left_alone():
    p = np.array([0.9, 0.4, 0.6])
    assert correct_holm(p).tolist() == [1.0, 1.0, 1.0]
    assert p.tolist() == [0.9, 0.4, 0.6]


@given(chances)
def test_holm_is_never_smaller_and_keeps_the_order(values):
    p = np.array(values)
    found = correct_holm(p)
    assert (found >= p).all()
    assert (found <= 1).all()
    assert (np.diff(found[np.argsort(p, kind="stable")]) >= 0).all()


@given(chances, st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_rule_rejects(values, level):
    rejected, p = set(), np.array(values)
    for step, i in enumerate(np.argsort(p, kind="stable")):
        if p[i] * (len(p) - step) > level:
            break
        rejected.add(int(i))
    assert set(np.flatnonzero(correct_holm(p) <= level).tolist()) == rejected
