"""Files appear whole or not at all; locks hold between processes; nothing is left behind."""

import errno
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from xtalshift.errors import ConfigError, DataError
from xtalshift.files import (
    append,
    hold_folder,
    lock_folder,
    make_temporary_folder,
    replace_file,
    replacing,
)

WRITERS = 4
ROUNDS = 40


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_gets_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "out.csv"
    with replacing(path) as part:
        part.write_text("half")
        assert not path.exists()
        assert part.parent == path.parent
    assert path.read_text() == "half"
    assert names(path.parent) == ["out.csv"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_an_error_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "out.csv"
    path.write_text("old")

    def fail():
        with replacing(path) as part:
            part.write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "𝔄" * 63])
def test_the_longest_names_can_be_written(tmp_path, name):
    replace_file(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text"


def test_permissions_are_those_of_the_umask_or_of_the_file_replaced(tmp_path):
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "new", "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    replace_file(tmp_path / "new", "b")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604


def test_a_link_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    for target in (tmp_path / "there" / "old", tmp_path / "there" / "missing"):
        link = tmp_path / f"to-{target.name}"
        link.symlink_to(target)
        replace_file(link, "text")
        assert link.is_symlink()
        assert target.read_text() == "text"
    assert names(tmp_path / "there") == ["missing", "old"]


@pytest.mark.parametrize("path", ["/dev/null", "."])
def test_what_is_no_file_is_not_replaced(path):
    with pytest.raises(DataError, match="is a folder or a device; name a file"):
        replace_file(path, "text")


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_full_disk_is_one_readable_line(tmp_path, monkeypatch, step):
    path = tmp_path / "out.csv"
    path.write_text("old")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(DataError, match=r"cannot write .*out\.csv: No space left.*free some space"):
        replace_file(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["out.csv"]


def write_often(path, letter):
    for _ in range(ROUNDS):
        replace_file(path, letter * 100_000)


def test_writers_of_one_file_do_not_mix(tmp_path):
    path = tmp_path / "out.csv"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(path, x)) for x in "abcd"[:WRITERS]]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            text = path.read_text()
            assert len(text) == 100_000
            seen |= set(text)
            assert len(set(text)) == 1
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    assert seen <= set("abcd")
    assert names(tmp_path) == ["out.csv"]


KILLED = """
import sys, time
from pathlib import Path
from xtalshift.files import lock_folder, replacing
path = Path(sys.argv[1])
with lock_folder(path.parent), replacing(path) as part:
    part.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    path = tmp_path / "out.csv"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    refused = pytest.raises(ConfigError, match=r"another process is writing to .*; wait for it")
    with refused, lock_folder(tmp_path):
        pass
    replace_file(path, "mine")
    assert len(names(tmp_path)) == 3  # the lock, the file, and that of the writer that lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert path.read_text() == "mine"
    replace_file(tmp_path / "other.csv", "x")
    assert len(names(tmp_path)) == 4  # of another file
    with lock_folder(tmp_path):
        replace_file(path, "again")
    assert names(tmp_path) == [".lock", "other.csv", "out.csv"]


FOLDER = """
import sys
from xtalshift.files import make_temporary_folder
print(make_temporary_folder(), flush=True)
sys.stdin.read()
"""


def test_a_temporary_folder_stays_as_long_as_its_process(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "xtalshift-results").mkdir()
    (tmp_path / "xtalshift-link.tmp").symlink_to(tmp_path / "xtalshift-results")
    process = subprocess.Popen(
        [sys.executable, "-c", FOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    other = Path(process.stdout.readline().strip())
    (other / "setup").write_text("")
    mine = make_temporary_folder()
    assert names(tmp_path) == sorted(
        ["xtalshift-link.tmp", "xtalshift-results", mine.name, other.name]
    )
    process.kill()
    process.communicate()
    assert make_temporary_folder().exists()
    assert mine.exists()
    assert not other.exists()
    assert (tmp_path / "xtalshift-results").exists()


def test_a_folder_that_was_only_locked_is_not_kept_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="no"), lock_folder(tmp_path / "out"):
        raise ValueError("no")
    assert names(tmp_path) == []
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="no"), lock_folder(tmp_path / "mine"):
        raise ValueError("no")
    assert names(tmp_path / "mine") == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="cannot write"), lock_folder(tmp_path / "file"):
        pass


def hold(folder, queue):
    with hold_folder(folder):
        queue.put("begin")
        time.sleep(0.2)
        queue.put("end")


def test_a_held_folder_makes_others_wait(tmp_path):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()  # what is put is sent at once; threads of a Queue may be late
    holders = [context.Process(target=hold, args=(tmp_path, queue)) for _ in range(3)]
    for holder in holders:
        holder.start()
    for holder in holders:
        holder.join(timeout=30)
    assert [holder.exitcode for holder in holders] == [0, 0, 0]
    assert [queue.get() for _ in range(6)] == ["begin", "end"] * 3
    assert names(tmp_path) == []


def test_what_is_appended_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "lines"
    append(path, b"one\n")
    write = os.write

    def little(descriptor, content):  # as on a disk that is nearly full
        return write(descriptor, content[:3])

    monkeypatch.setattr(os, "write", little)
    append(path, b"second line\n")
    assert path.read_bytes() == b"one\nsecond line\n"

    def nearly_full(descriptor, content):
        if len(content) < 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content[:3])

    monkeypatch.setattr(os, "write", nearly_full)
    with pytest.raises(DataError, match=r"cannot write .*lines: No space left"):
        append(path, b"third\n")
    assert path.read_bytes() == b"one\nsecond line\n"
