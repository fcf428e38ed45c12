"""`pretrain`: tables to an encoder, with formulas left out."""

import json

import numpy as np
import pytest

from xtalshift.data import load_dataset
from xtalshift.errors import DataError, UsageError
from xtalshift.featurize.encoder import CARD_FILE, read_encoder
from xtalshift.jobs.pretrain import PretrainConfig, describe_encoder, pretrain

QUICK = {"widths": (16, 8), "size": 6, "epochs": 3, "batch_size": 64, "held_out": 0.2}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Two tables that share a third of their formulas; in the first each stands twice."""
    folder = tmp_path_factory.mktemp("tables")
    data = load_dataset("ricci_seebeck")
    formulas = list(dict.fromkeys(data.groups.tolist()))[:500]
    y = np.round(np.random.default_rng(0).normal(size=500), 3)
    for name, rows, repeat in (("a", range(300), 2), ("b", range(200, 500), 1)):
        lines = [f"{formulas[k]},{y[k] + part}" for k in rows for part in range(repeat)]
        (folder / f"{name}.csv").write_text("\n".join(["formula,energy", *lines]))
    lines = [formulas[k] for k in range(250, 280)]
    (folder / "test.csv").write_text("\n".join(["formula", *lines, "not a formula"]))
    return folder, formulas


def config(folder, **settings):
    sources = [{"dataset": str(folder / f"{name}.csv")} for name in ("a", "b")]
    return PretrainConfig.from_dict({**QUICK, "tables": sources, **settings})


def test_an_encoder_has_seen_the_formulas_of_its_tables_but_those_held_out(tables, tmp_path):
    folder, formulas = tables
    encoder = pretrain(config(folder), tmp_path / "one")
    seen = encoder.knows(formulas)
    assert encoder.card.materials == seen.sum()
    assert 0.7 < seen.mean() < 0.9  # a fifth is held out
    assert [table.materials for table in encoder.card.tables] == [300, 300]
    assert encoder.card.tables[0].property == "energy"
    assert all(0.5 < table.error < 2 for table in encoder.card.tables)  # targets are noise
    assert encoder.size == 6
    again = pretrain(config(folder), tmp_path / "two")
    assert again.card == encoder.card
    other = pretrain(config(folder, seed=1), tmp_path / "three")
    assert other.card.arrays_sha256 != encoder.card.arrays_sha256
    assert describe_encoder(encoder)[0].startswith("  a: 300 materials, held-out error ")


def test_formulas_of_another_table_are_left_out_of_all(tables, tmp_path):
    folder, formulas = tables
    settings = config(folder, without=[str(folder / "test.csv")], held_out=0.0)
    encoder = pretrain(settings, tmp_path)
    assert encoder.knows(formulas).tolist() == [not 250 <= k < 280 for k in range(500)]
    assert encoder.card.without == {"test": 30}
    assert [table.materials for table in encoder.card.tables] == [270, 270]
    assert encoder.card.tables[0].error is None
    assert "held-out error unknown" in describe_encoder(encoder)[0]
    card = json.loads((tmp_path / CARD_FILE).read_text())
    assert str(folder) not in json.dumps(card)  # paths of the user are no part of the card
    assert read_encoder(tmp_path) is encoder


def test_licence_and_citation_are_those_given_or_of_the_catalogue(tables, tmp_path):
    folder, _ = tables
    sources = [
        {"dataset": str(folder / "a.csv"), "property": "enthalpy", "licence": "CC0"},
        {"dataset": "ricci_seebeck"},
    ]
    encoder = pretrain(config(folder, tables=sources, epochs=1), tmp_path)
    own, catalogue = encoder.card.tables
    assert (own.property, own.licence, own.citation) == ("enthalpy", "CC0", "")
    assert "Ricci" in catalogue.citation
    assert catalogue.licence
    assert catalogue.property == "S_p"


def test_tables_that_teach_nothing_are_refused(tables, tmp_path):
    folder, _ = tables
    with pytest.raises(UsageError, match="tables"):
        PretrainConfig.from_dict({"tables": []})
    own = config(folder, without=[str(folder / "a.csv")])
    with pytest.raises(DataError, match=r"a\.csv has 0 materials that are not left out; at least"):
        pretrain(own, tmp_path)
    constant = tmp_path / "constant.csv"
    lines = (folder / "a.csv").read_text().splitlines()[1:]
    constant.write_text("\n".join(["formula,y", *(f"{line.split(',')[0]},2.5" for line in lines)]))
    with pytest.raises(DataError, match=r"all targets of .*constant\.csv are 2\.5"):
        pretrain(config(folder, tables=[{"dataset": str(constant)}]), tmp_path)
