import hashlib
import platform
from dataclasses import replace

import numpy as np
import pytest

import xtalshift
from xtalshift.provenance import Host, collect_provenance, hash_text, peak_memory_mib


def test_hash_is_the_sha256_of_the_lines():
    assert hash_text(["a", "é"]) == hashlib.sha256("a\né\n".encode()).hexdigest()
    assert hash_text([]) == hashlib.sha256(b"").hexdigest()


def test_hash_depends_on_order_and_line_ends():
    assert hash_text(["a", "b"]) == hash_text(iter(["a", "b"]))
    hashes = {hash_text(lines) for lines in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""])}
    assert len(hashes) == 4


def test_text_that_is_not_valid_unicode_has_a_hash():
    assert hash_text(["\udcff"]) != hash_text(["?"])


def test_provenance_tells_the_installation_and_the_machine():
    found = collect_provenance(device="cpu", threads=2)
    assert found.python == platform.python_version()
    assert found.versions["xtalshift"] == xtalshift.__version__
    assert found.versions["numpy"] == np.__version__
    assert (found.device, found.threads) == ("cpu", 2)
    assert found.host.cpus >= 1


def test_only_the_host_part_differs_between_two_runs():
    first, second = (replace(collect_provenance(), host=Host()) for _ in range(2))
    assert first == second


def test_peak_memory_is_in_mib_and_never_falls():
    pytest.importorskip("resource")
    before = peak_memory_mib()
    block = np.ones(2**24)  # 128 MiB
    after = peak_memory_mib()
    assert 20 < before <= after < 10**6
    assert after >= block.nbytes / 2**20
