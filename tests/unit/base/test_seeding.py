import itertools

import numpy as np

from xtalshift.seeding import as_generator, derive_seed


def test_an_int_gives_a_fresh_equal_generator():
    assert as_generator(3).random() == np.random.default_rng(3).random()
    assert as_generator(3).random() != as_generator(4).random()


def test_a_generator_is_passed_through():
    generator = np.random.default_rng(0)
    assert as_generator(generator) is generator


def test_a_random_state_gives_another_stream_at_each_use():
    state = np.random.RandomState(0)
    first, second = as_generator(state).random(), as_generator(state).random()
    assert first != second
    assert as_generator(np.random.RandomState(0)).random() == first


def test_none_draws_from_the_system():
    assert as_generator(None).random() != as_generator(None).random()


def test_the_global_stream_of_numpy_is_left_alone():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    as_generator(None).random()
    as_generator(1).random()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_derived_seeds_differ_and_stay_the_same_for_ever():
    names = [(), ("split",), ("validation",), ("split", 0), ("split", 1), ("split", "validation")]
    seeds = [derive_seed(seed, *name) for seed, name in itertools.product(range(50), names)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert derive_seed(0, "split") == 877757775  # a saved job must resume with the same rows
