"""Write src/xtalshift/chem/elements.csv from the installed matminer and pymatgen.

Run once by hand: ``python tools/make_element_table.py``. The package itself imports neither.
"""

from __future__ import annotations

import csv
import io
import math
import warnings
from pathlib import Path

from matminer.utils.data import MagpieData
from pymatgen.core import Element

from xtalshift.chem.elements import MAGPIE_PROPERTIES, SYMBOLS

TARGET = Path(__file__).parents[1] / "src" / "xtalshift" / "chem" / "elements.csv"
HEADER = """\
# Properties: Magpie tables (Ward et al., npj Comput. Mater. 2, 16028, 2016) as in matminer 0.10.
# X (Pauling) and oxidation_states (common ones): pymatgen (Comput. Mater. Sci. 68, 314, 2013).
# An empty field is unknown. Made by tools/make_element_table.py.
"""


def element_rows() -> list[list[str]]:
    """Return one row of texts per element: symbol, properties, X, oxidation states."""
    magpie = MagpieData(impute_nan=False)
    rows = []
    for symbol in SYMBOLS[1:]:
        element = Element(symbol)
        values = [magpie.get_elemental_property(element, name) for name in MAGPIE_PROPERTIES]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pymatgen warns where X is unknown
            values.append(float(element.X))
        states = " ".join(str(state) for state in element.common_oxidation_states)
        rows.append(
            [
                symbol,
                *("" if math.isnan(v) else repr(float(v)).removesuffix(".0") for v in values),
                states,
            ]
        )
    return rows


def main() -> None:
    """Write the table."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["symbol", *MAGPIE_PROPERTIES, "X", "oxidation_states"])
    writer.writerows(element_rows())
    TARGET.write_text(HEADER + buffer.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    main()
