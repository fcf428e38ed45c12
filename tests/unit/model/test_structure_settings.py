"""When the structures of a table are read, and which features they bring."""

import pandas as pd
import pytest

from polymorph_toys import crystals, write_cif
from xtalshift.data.settings import DataConfig
from xtalshift.errors import ConfigError
from xtalshift.model.inputs import read_inputs, settle_structures

NAMES, BATCH, VALUES = crystals()


@pytest.fixture
def table(tmp_path):
    """Return a function that writes some columns of ten crystals."""

    def write(*columns):
        frame = pd.DataFrame({
            "formula": [name.partition("-")[0] for name in NAMES[:10]], "y": VALUES[:10],
            "CIF": [write_cif(BATCH.take([row])) for row in range(10)],
        })  # fmt: skip
        path = tmp_path / "table.parquet"
        frame[list(columns)].to_parquet(path)
        return str(path)

    return write


@pytest.mark.parametrize(
    ("columns", "given", "features", "read"),
    [
        (("formula", "y", "CIF"), {}, None, False),  # formulas are enough
        (("y", "CIF"), {}, "+structure", True),  # there is nothing else
        (("formula", "y", "CIF"), {"structure_col": "CIF"}, "+structure", True),
        (("formula", "y", "CIF"), {"structure_col": "CIF", "features": "magpie"}, "magpie", True),
        (("formula", "y", "CIF"), {"features": "fractions+structure"}, "fractions+structure", True),
        (("formula", "y"), {"features": "+fractions"}, "+fractions", False),
    ],
)
def test_what_is_read(table, columns, given, features, read):
    settings = settle_structures(DataConfig.from_dict({"dataset": table(*columns), **given}))
    assert settings.features == features
    found = read_inputs(settings)
    assert (found.data.materials.structures is not None) == read
    width = {"magpie": 145, "fractions": 118, "structure": 64}
    assert found.X.shape[1] == sum(width[name] for name in settings.blocks.split("+"))
    # polymorphs of a formula are materials of their own, if they are known
    assert len(found.data) == (10 if read else 4)


@pytest.mark.parametrize("dataset", ["", "ricci_seebeck"])
def test_features_that_need_structures_say_so(table, dataset):
    settings = DataConfig.from_dict(
        {"dataset": dataset or table("formula", "y"), "features": "magpie+structure"}
    )
    with pytest.raises(ConfigError, match=r"crystal structures.*--structure-col.*--structures"):
        settle_structures(settings)


@pytest.mark.parametrize(
    ("given", "computed", "features", "column"),
    [
        ({}, (), "+structure", "structure"),  # its formulas are those of its structures
        ({"features": "magpie"}, (), "magpie", None),
        ({"features": "+symmetry"}, (), "+structure+symmetry", "structure"),
        ({"structure_col": "structure"}, (), "+structure", "structure"),
        ({}, ("magpie",), None, None),  # a benchmark says itself what it computes
        ({}, ("magpie", "magpie+structure"), None, "structure"),
    ],
)
def test_structures_of_the_catalogue(given, computed, features, column):
    settings = DataConfig.from_dict({"dataset": "matbench_dielectric", **given})
    found = settle_structures(settings, computed)
    assert (found.features, found.structure_col) == (features, column)


def test_a_data_set_with_formulas_is_read_without_structures():
    settings = DataConfig.from_dict({"dataset": "jarvis_dft_3d"})
    assert settle_structures(settings) == settings


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dataset": "matbench_dielectric", "structure_col": "n"}, "in column 'structure'"),
        ({"dataset": "matbench_dielectric", "structures": "cifs"}, "omit --structures"),
        ({"dataset": "ricci_seebeck", "structure_col": "S_p"}, "has no crystal structures"),
    ],
)
def test_the_columns_of_a_data_set_are_known(given, said):
    with pytest.raises(ConfigError, match=said):
        read_inputs(DataConfig.from_dict(given))
