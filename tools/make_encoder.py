"""Write ``src/xtalshift/featurize/shipped_encoder``, the encoder of the block ``pretrained``.

    XTALSHIFT_DATA=folder python tools/make_encoder.py [FOLDER] [--without TABLE ...]

It takes about a minute on one core. The tables and their citations are below; with `--without` a
table that loses all its formulas is left out.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from xtalshift.featurize.encoder import SHIPPED
from xtalshift.jobs.pretrain import PretrainConfig, describe_encoder, pretrain
from xtalshift.parallel import limited_threads

MP = "CC BY 4.0 (Materials Project)"
AFLOW = "no licence stated with the data; AFLOW asks for citation"
CRABNET = "as in Wang et al., npj Comput. Mater. 7, 77 (2021), github.com/anthony-wang/CrabNet"
MATBENCH = (
    "Jain et al., APL Mater. 1, 011002 (2013), as in Matbench v0.1: Dunn et al., npj Comput. "
    "Mater. 6, 138 (2020)"
)
LIBRARY = "AFLOW: Curtarolo et al., Comput. Mater. Sci. 58, 218 (2012)"
TABLES = {
    "mp_e_form": ("formation energy", MP, MATBENCH),
    "mp_gap": ("PBE band gap", MP, MATBENCH),
    "aflow__Egap": ("AFLOW band gap", AFLOW, LIBRARY),
    "aflow__energy_atom": ("energy per atom", AFLOW, LIBRARY),
    "aflow__ael_bulk_modulus_vrh": ("bulk modulus", AFLOW, LIBRARY),
    "aflow__ael_shear_modulus_vrh": ("shear modulus", AFLOW, LIBRARY),
    "aflow__ael_debye_temperature": ("Debye temperature", AFLOW, LIBRARY),
    "aflow__agl_thermal_conductivity_300K": ("thermal conductivity", AFLOW, LIBRARY),
    "aflow__agl_thermal_expansion_300K": ("thermal expansion", AFLOW, LIBRARY),
}


def main() -> None:
    """Train and write the encoder, and print its errors."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, nargs="?", default=SHIPPED)
    parser.add_argument("--without", nargs="*", default=[], help="formulas of these are left out")
    parser.add_argument("--drop", nargs="*", default=[], help="tables that are not used at all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(os.environ["XTALSHIFT_DATA"]) / "composition"
    tables = [
        {"dataset": str(folder / f"{name}.parquet"), "property": what, "licence": licence,
         "citation": f"{citation}; {CRABNET}"}
        for name, (what, licence, citation) in TABLES.items() if name not in options.drop
    ]  # fmt: skip
    config = PretrainConfig.from_dict(
        {"tables": tables, "without": options.without, "seed": options.seed}
    )
    with limited_threads(1):
        encoder = pretrain(config, options.out)
    print("\n".join(describe_encoder(encoder)))


if __name__ == "__main__":
    main()
