"""Tables of all kinds of rows at once: they come back row for row, and nothing is read wrong.

The long test has 10^5 rows, the short one 2,000; see `long.mixed_tables` for the kinds.
"""

from collections import Counter

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from long.mixed_tables import (
    LAYOUTS,
    READ,
    REFUSED,
    REMARKED,
    atoms,
    fractions,
    make_table,
    write_table,
)
from xtalshift.chem.elements import SYMBOLS
from xtalshift.data import Dataset
from xtalshift.data.catalog import load_dataset
from xtalshift.data.clean import inspect_table
from xtalshift.data.readers import read_table
from xtalshift.data.settings import DataConfig, ReadingOptions
from xtalshift.featurize.composition import composition_features
from xtalshift.jobs.check import check_table
from xtalshift.jobs.featurize import FeaturizeSettings, feature_table, iter_features
from xtalshift.jobs.predict import predict_file
from xtalshift.model import load_model
from xtalshift.model.fitting import fit
from xtalshift.model.persist import save_model
from xtalshift.model.table_predictor import TablePredictor
from xtalshift.screening import screen
from xtalshift.screening.settings import ScreenSettings


@pytest.fixture(scope="module")
def real():
    """Return the formulas of the embedded data set and their amounts."""
    texts = dict.fromkeys(load_dataset("ricci_seebeck").formulas.tolist())
    return [(text, atoms(text)) for text in texts]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return the folder of a model whose predictions tell compositions apart."""
    data = load_dataset("ricci_seebeck").take(slice(0, 20_000, 100))
    folder = tmp_path_factory.mktemp("model") / "m"
    save_model(fit(data, "ridge", domain=False), folder)
    return folder


class Outcomes:
    """What happened to the cells of some tables."""

    def __init__(self):
        self.wrong, self.read_by_mistake, self.refused_by_mistake = [], [], []
        self.remarked = []
        self.refused, self.cells = Counter(), Counter()

    def add(self, what, cell, ok, right, note=""):
        """Count one cell: whether it was read, as what is meant, and with which remark."""
        self.cells[what] += 1
        if ok and cell.fate == REMARKED:
            (self.remarked if note else self.wrong).append((what, cell))
        elif ok and cell.fate == REFUSED:
            self.read_by_mistake.append((what, cell))
        elif ok and not right:
            self.wrong.append((what, cell))
        elif not ok:
            self.refused[what, cell.kind] += 1
            if cell.fate == READ:
                self.refused_by_mistake.append((what, cell))

    def describe(self):
        """Return the counts by kind."""
        lines = []
        for what, cells in self.cells.items():
            refused = {kind: n for (w, kind), n in self.refused.most_common() if w == what}
            lines.append(f"{cells} cells: {what}; refused: {refused}")
        for name in ("wrong", "remarked", "read_by_mistake", "refused_by_mistake"):
            cells = getattr(self, name)
            kinds = Counter((what, cell.kind) for what, cell in cells)
            lines.append(f"{name}: {len(cells)} {dict(kinds.most_common())}")
        return "\n".join(lines)


def same(found, meant):
    return found.keys() == meant.keys() and all(
        abs(found[symbol] - share) <= 1e-9 for symbol, share in fractions(meant).items()
    )


def compositions(materials):
    """Return the shares of elements of each row."""
    parts = materials.compositions
    for start, stop in zip(parts.starts[:-1], parts.starts[1:], strict=True):
        yield fractions(
            {
                SYMBOLS[z]: a
                for z, a in zip(parts.z[start:stop], parts.amounts[start:stop], strict=True)
            }
        )


def written(meant):
    """Return amounts as a formula without doubt."""
    return "".join(s + np.format_float_positional(a, trim="-") for s, a in fractions(meant).items())


def follow(table, path, model, tmp_path, outcomes):
    """Take a table through all readers and compare each row with the truth."""
    n = len(table)
    known = [k for k, cell in enumerate(table.formulas) if cell.meant is not None]
    truths = Dataset.of([written(table.formulas[k].meant) for k in known]).materials
    target = "S" if "unit row" in table.name else "S (uV/K)"
    config = DataConfig.from_dict(
        {"dataset": str(path), "target": target, "id_col": "id", **table.options}
    )
    reading = ReadingOptions.from_dict(table.options)
    data = read_table(path, target=target, id_col="id", options=reading)
    assert data.ids.tolist() == table.ids
    found = inspect_table(data)
    usable = np.ones(n, dtype=bool)
    usable[found.bad] = False
    readable = data.materials.reasons == ""
    for row, shares in enumerate(compositions(data.materials)):
        if row in table.torn:
            assert not usable[row]
            continue
        cell, number = table.formulas[row], table.numbers[row]
        outcomes.add(
            "formula",
            cell,
            readable[row],
            cell.meant and same(shares, cell.meant),
            data.materials.notes[row],
        )
        value, known_value = data.targets[row], number.meant is not None
        # the sentinels of a column are found among the rows whose formula is read
        read = usable[row] if readable[row] else np.isfinite(value) and known_value
        right = known_value and abs(value - number.meant) <= 1e-9 * abs(number.meant)
        outcomes.add("number", number, read, right)
    checked = check_table(config)
    assert [kind for kind, _, _ in checked.inspection.faults] == [k for k, _, _ in found.faults]

    # the readers of streams: features and predictions are those of the true composition
    pieces = list(iter_features(path, FeaturizeSettings(reading=reading)))
    reasons = np.concatenate([features.reasons for _, features, _ in pieces])
    values = np.concatenate([features.values for _, features, _ in pieces])
    assert sum(feature_table(*piece).num_rows for piece in pieces) == n
    # whether a column is in capitals is settled on its head in streams: nothing else may differ
    streamed = reasons == ""
    for row in np.flatnonzero(streamed != readable):
        assert table.formulas[row].fate != REFUSED
        assert table.formulas[row].text.isupper()
    fitted = load_model(model)
    expected = pd.Series(fitted.predict(truths).frame["prediction"].to_numpy(), index=known)
    true_values = composition_features(truths.compositions).values
    chosen = np.flatnonzero(streamed[known])
    np.testing.assert_allclose(
        values[np.array(known)[chosen]], true_values[chosen], rtol=1e-6, atol=1e-6
    )
    predict_file(TablePredictor(fitted, reading=reading), path, tmp_path / "out.parquet")
    screen(model, [path], tmp_path / "out", ScreenSettings.from_dict(table.options))
    for result in (
        pd.read_parquet(tmp_path / "out.parquet"),
        pq.ParquetDataset(tmp_path / "out" / "parts").read().to_pandas(),
    ):
        assert result["id"].tolist() == table.ids
        ok = (result["status"] == "ok").to_numpy()
        assert (ok == streamed).all()
        rows = np.intersect1d(np.flatnonzero(ok), known)
        np.testing.assert_allclose(
            result["prediction"].to_numpy(float)[rows], expected[rows], rtol=1e-5, atol=1e-5
        )


def run(rows, seed, real, model, tmp_path):
    outcomes, rng = Outcomes(), np.random.default_rng(seed)
    for name in LAYOUTS:
        folder = tmp_path / name.replace(",", "").replace(" ", "_")
        folder.mkdir()
        table = make_table(name, -(-rows // len(LAYOUTS)), real, rng)
        follow(table, write_table(table, folder), model, folder, outcomes)
    return outcomes


def check(outcomes):
    counts = outcomes.describe()
    assert not outcomes.wrong, counts
    assert not outcomes.read_by_mistake, counts
    # most are formulas without small letters, where others are written in capitals
    assert len(outcomes.refused_by_mistake) <= 0.003 * outcomes.cells.total(), counts
    assert len(outcomes.remarked) <= 0.0002 * outcomes.cells.total(), counts


def test_two_thousand_rows(real, model, tmp_path):
    check(run(2000, 0, real, model, tmp_path))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_rows(real, model, tmp_path):
    check(run(100_000, 1, real, model, tmp_path))
