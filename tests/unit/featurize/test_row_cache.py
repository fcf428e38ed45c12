"""The cache of rows: what is kept, damage, kills, and several processes."""

import multiprocessing
import os
import signal
import sqlite3
import time

import numpy as np
import pytest

from cache_toys import KEYS, ROWS, add_all
from xtalshift.featurize.row_cache import RowCache


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "rows.sqlite"


def kept(path, keys=KEYS):
    return ~np.isnan(RowCache(path, 3).find(keys)[:, 0])


def test_rows_are_found_by_their_keys_in_any_order(path):
    cache = RowCache(path, 3)
    assert np.isnan(cache.find(KEYS)).all()
    assert not path.parent.exists()  # a question makes no file
    cache.add(KEYS, ROWS)
    np.testing.assert_array_equal(cache.find(KEYS[::-1]), ROWS[::-1])
    found = RowCache(path, 3).find(["unknown", KEYS[5], KEYS[5]])
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1:], ROWS[[5, 5]])
    cache.add(KEYS[:1], ROWS[1:2])
    np.testing.assert_array_equal(cache.find(KEYS[:1]), ROWS[1:2])
    assert cache.find([]).shape == (0, 3)
    assert np.isnan(RowCache(path, 2).find(KEYS)).all()  # rows of another length


def test_a_changed_row_is_not_found(path):
    RowCache(path, 3).add(KEYS, ROWS)
    content = bytearray(path.read_bytes())
    place = content.find(ROWS[7].tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    expected = np.ones(len(KEYS), dtype=bool)
    expected[7] = False
    np.testing.assert_array_equal(kept(path), expected)


@pytest.mark.parametrize("damage", ["no database", "cut", "zeros", "empty", "another table"])
def test_a_damaged_file_is_made_again(path, damage):
    cache = RowCache(path, 3)
    cache.add(KEYS, ROWS)
    content = path.read_bytes()
    if damage == "another table":
        path.unlink()
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE others (key TEXT)")
        database.close()
    else:
        middle = len(content) // 2
        path.write_bytes(
            {
                "no database": b"something else" * 1000,
                "cut": content[:middle],
                "zeros": content[:4096] + bytes(len(content) - 4096),
                "empty": b"",
            }[damage]
        )
    assert not kept(path).all()
    cache.add(KEYS, ROWS)
    cache.add(KEYS, ROWS)  # the first may only have removed the file
    np.testing.assert_array_equal(cache.find(KEYS), ROWS)


@pytest.mark.skipif(os.name == "nt" or not os.geteuid(), reason="the owner may write everything")
def test_without_permission_nothing_is_kept(path):
    path.parent.mkdir()
    path.parent.chmod(0o500)
    RowCache(path, 3).add(KEYS, ROWS)
    assert not kept(path).any()


def test_a_folder_that_cannot_be_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "rows.sqlite", tmp_path):
        RowCache(path, 3).add(KEYS, ROWS)
        assert not kept(path).any()


def test_several_processes_add_at_once(path):
    context = multiprocessing.get_context("spawn")
    parts = [(0, 300), (200, 500), (400, 600)]
    processes = [context.Process(target=add_all, args=(path, *part)) for part in parts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    np.testing.assert_array_equal(RowCache(path, 3).find(KEYS[:600]), ROWS[:600])


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_what_a_killed_process_added_stays(path):
    process = multiprocessing.get_context("spawn").Process(target=add_all, args=(path, 0, 1300))
    process.start()
    while not kept(path, KEYS[:10]).any():
        assert process.is_alive() or kept(path, KEYS[:10]).any()
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    there = kept(path)
    assert there[:10].all()
    np.testing.assert_array_equal(RowCache(path, 3).find(KEYS)[there], ROWS[there])
    RowCache(path, 3).add(KEYS, ROWS)
    assert kept(path).all()
