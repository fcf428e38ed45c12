import csv
import gzip
import hashlib
import importlib.util
import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from xtalshift.data import catalog
from xtalshift.data.catalog import dataset_path, get_entry, list_datasets, load_dataset
from xtalshift.data.clean import clean_table
from xtalshift.errors import ConfigError, DataError, FetchError, NotFoundError


def matminer_file(path):
    spec = importlib.util.find_spec("matminer")
    if spec is None:
        pytest.skip("matminer is not installed")
    return Path(spec.origin).parent / path


@pytest.fixture(scope="module")
def ricci():
    return load_dataset("ricci_seebeck")


def test_ricci_seebeck_is_read_whole(ricci):
    assert len(ricci) == 47737
    assert len(set(ricci.formulas)) == 34631
    assert (ricci.target_name, ricci.unit, ricci.source) == ("S_p", "uV/K", "ricci_seebeck")
    assert np.isfinite(ricci.targets).all()
    silicon = ricci.ids.tolist().index("mp-149")
    assert ricci.formulas[silicon] == "Si"
    assert ricci.targets[silicon] == 525.92593
    assert ricci.columns["S_n"][silicon] == -513.63938
    assert len(set(ricci.ids)) == 47737


def test_the_hash_of_ricci_seebeck_by_which_results_name_it(ricci):
    expected = "ddb62bfee9e7a201061434dcf7355af6743948a18bcb89cc26b5563f47973d30"
    assert ricci.sha256() == expected


def test_ricci_seebeck_equals_the_table_of_matminer(ricci):
    archive = matminer_file("utils/data_files/mp_transport/transport_database.tar.xz")
    with tarfile.open(archive) as tar:
        lines = io.TextIOWrapper(tar.extractfile("transport_database.csv"), encoding="utf-8")
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == list(get_entry("ricci_seebeck").columns)
    assert [row["mp_id"] for row in rows] == ricci.ids.tolist()
    assert [row["pretty_formula"] for row in rows] == ricci.formulas.tolist()
    values = {"S_p": ricci.targets, **ricci.columns}
    assert len(values) == 10
    for name, column in values.items():
        assert [float(row[name]) for row in rows] == column.tolist(), name


def test_the_licence_of_ricci_seebeck_lies_beside_it():
    entry = get_entry("ricci_seebeck")
    path = dataset_path("ricci_seebeck")
    terms = path.with_name("ricci_seebeck.LICENSE.txt").read_text(encoding="utf-8")
    assert entry.reference in terms
    assert "CC BY 4.0" in terms
    assert path.stat().st_size < 2_500_000


def test_ricci_seebeck_after_cleaning(ricci):
    cleaned = clean_table(ricci)
    report = cleaned.intake
    assert len(cleaned) == 34630
    assert report.rows_dropped == 0
    assert report.rows_merged == 13107
    assert not report.zero_inflated
    assert report.duplicate_scatter == pytest.approx(84.718, abs=1e-3)
    assert report.error_floor == pytest.approx(28.437, abs=1e-3)


def test_state_and_units_of_ricci_follow_from_its_values(ricci):
    """Check what the catalogue claims: 1e18 carriers/cm3, 300 K, and the units."""
    sigma, mass, kappa, power = (
        ricci.columns[name].to_numpy() for name in ("sigma_p", "m_p", "kappa_p", "PF_p")
    )
    charge, electron = 1.602176634e-19, 9.1093837e-31
    ratio = mass * sigma * 1e15 / (1e24 * charge**2 / electron)
    isotropic = np.abs(ratio - 1) < 1e-3  # elsewhere the means of m and of 1/m differ
    assert isotropic.sum() > 10_000
    assert np.abs(ratio[isotropic] - 1).max() < 1e-3
    assert np.median(np.abs(ratio[isotropic] - 1)) < 1e-5

    metals = sigma > 1e4
    lorenz = 2.44301e-8
    temperature = kappa[metals] * 1e9 / (sigma[metals] * 1e15 * lorenz)
    assert np.median(temperature) == pytest.approx(300, rel=0.02)

    power_from_parts = (ricci.targets * 1e-6) ** 2 * sigma * 1e15
    assert np.median(power * 1e9 / power_from_parts) == pytest.approx(1, rel=0.01)


def test_another_target_and_a_wrong_one():
    table = load_dataset("ricci_seebeck", target="m_p")
    assert (table.target_name, table.unit) == ("m_p", "electron masses")
    assert "S_p" in table.columns.columns
    with pytest.raises(DataError, match=r"no target column 'S_q' \(did you mean"):
        load_dataset("ricci_seebeck", target="S_q")


def test_unknown_name():
    with pytest.raises(NotFoundError, match=r"no data set named 'matbench_mp_gaps' \(did you mean"):
        get_entry("matbench_mp_gaps")


def test_catalogue_agrees_with_matminer():
    metadata = matminer_file("datasets/dataset_metadata.json")
    facts = json.loads(metadata.read_text(encoding="utf-8"))
    assert set(list_datasets()) == {"ricci_seebeck", *facts}
    for name, fact in facts.items():
        entry = get_entry(name)
        assert (entry.url, entry.sha256) == (fact["url"], fact["hash"])
        assert entry.n_rows == fact["num_entries"]
        assert set(entry.columns) == set(fact["columns"])


@pytest.mark.parametrize("name", list_datasets())
def test_entries_are_complete(name):
    entry = get_entry(name)
    assert entry.name == name
    assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
    assert {entry.target, entry.formula, *entry.units} <= set(entry.columns)
    assert entry.id in {"", *entry.columns}
    assert entry.target not in {entry.formula, entry.id}
    assert entry.units[entry.target]
    assert all((entry.title, entry.conditions, entry.licence, entry.citation, entry.reference))
    assert entry.url.startswith("https://") == (name != "ricci_seebeck")


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A data set of structures in a cache folder, under the name of a real entry."""
    lattice = {"@module": "p", "@class": "Lattice", "matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}
    lattice["matrix"] = [[5.6 * x for x in row] for row in lattice["matrix"]]
    sites = [
        {"species": [{"element": one, "occu": 1}], "abc": [x, x, x], "label": one}
        for one, x in (("Na", 0.0), ("Cl", 0.5))
    ]
    structure = {"@module": "p", "@class": "Structure", "lattice": lattice, "sites": sites}
    content = {"index": [0], "columns": ["structure", "gap pbe"], "data": [[structure, 5.0]]}
    packed = gzip.compress(json.dumps(content).encode())
    (tmp_path / "matbench_mp_gap.json.gz").write_bytes(packed)
    monkeypatch.setenv("XTALSHIFT_CACHE", str(tmp_path))
    real = get_entry("matbench_mp_gap")

    def use(**changes):
        changes = {"sha256": hashlib.sha256(packed).hexdigest(), "n_rows": 1} | changes
        entry = real.model_copy(update=changes)
        monkeypatch.setattr(catalog, "get_entry", lambda _: entry)

    return use


def test_structures_become_formulas_from_the_cache(tiny):
    tiny()
    table = load_dataset("matbench_mp_gap")
    assert table.formulas.tolist() == ["NaCl"]
    assert table.targets.tolist() == [5.0]
    assert table.unit == "eV"
    assert table.ids.tolist() == ["1"]


def test_structures_are_read_from_the_cache(tiny):
    tiny()
    table = load_dataset("matbench_mp_gap", structures=True)
    assert table.formulas.tolist() == ["NaCl"]
    assert table.materials.structures.volumes == pytest.approx([5.6**3])
    assert table.materials.structures.z.tolist() == [11, 17]
    assert load_dataset("matbench_mp_gap").materials.structures is None


def test_a_data_set_of_formulas_has_no_structures():
    with pytest.raises(ConfigError, match="'ricci_seebeck' has no crystal structures"):
        load_dataset("ricci_seebeck", structures=True)
    known = {name for name in list_datasets() if get_entry(name).structure_col}
    assert {"matbench_dielectric", "matbench_perovskites", "jarvis_dft_3d"} <= known
    assert get_entry("tholander_nitrides").structure_col == "final_structure"
    assert "matbench_expt_gap" not in known


def test_another_number_of_rows_than_published(tiny):
    tiny(n_rows=2)
    with pytest.raises(DataError, match="has 1 rows, expected 2"):
        load_dataset("matbench_mp_gap")


def test_a_file_of_the_package_that_is_missing_or_damaged(monkeypatch, tmp_path):
    entry = get_entry("ricci_seebeck")
    monkeypatch.setattr(catalog, "_FOLDER", tmp_path)
    with pytest.raises(FetchError, match=rf"expected sha256 {entry.sha256}, got no file; install"):
        dataset_path("ricci_seebeck")
    (tmp_path / "ricci_seebeck.parquet").write_bytes(b"damaged")
    found = hashlib.sha256(b"damaged").hexdigest()
    with pytest.raises(FetchError, match=f"ricci_seebeck.parquet, .* is damaged: .*got {found}"):
        load_dataset("ricci_seebeck")
