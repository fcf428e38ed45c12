"""Write ``src/xtalshift/data/catalog.toml`` from the metadata that the installed matminer ships.

Addresses, checksums, columns, row counts and references come from matminer; titles, default
targets, conditions and licences are stated here. Run it after raising the version of matminer, and
read the difference before committing it: ``.venv/bin/python tools/make_catalog.py``
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

FOLDER = Path(__file__).parents[1] / "src/xtalshift/data"
CATALOGUE = FOLDER / "catalog.toml"
RICCI_TABLE = FOLDER / "ricci_seebeck.parquet"
UNSTATED = "not stated in matminer's metadata; see the citation"
MP = "CC BY 4.0 (Materials Project)"
RICCI = (
    "Ricci, F., Chen, W., Aydemir, U., Snyder, G. J., Rignanese, G.-M., Jain, A. & Hautier, G. "
    "An ab initio electronic transport database for inorganic materials. Sci. Data 4, 170085 (2017)"
)
RICCI_LICENCE = "CC0 1.0 (the publication's Dryad deposit, doi:10.5061/dryad.gn001)"
PBE = "DFT (PBE), ground state"
IDS = ("material_id", "jid", "mpid", "task")
UNITS = (
    "eV/atom", "meV/atom", "uW/cm2.K", "W/m.K", "W/mK^2", "emu/cc", "A^3/atom", "S/cm", "ohm.cm",
    "1/cm", "GPa", "MPa", "angstrom", "degrees", "eV", "K", "%",
)  # fmt: skip
SPELLED = {"uW/cm2.K": "uW/(cm2 K)", "W/m.K": "W/(m K)", "angstrom": "A"}


class Stated(NamedTuple):
    """What matminer's metadata does not say in a form that a program can use."""

    title: str
    target: str
    unit: str
    conditions: str
    formula: str = "formula"
    licence: str = UNSTATED


MIXED = "measured at mixed and partly unknown temperatures, see column {}"
GLASS = "measured; 1 forms a metallic glass, 0 does not"
MP_2018 = "DFT (PBE), Materials Project of 18 October 2018"
MB_MP = "DFT (PBE), Materials Project of April 2019"
KIND = {
    "boltztrap_mp": Stated(
        "Thermoelectric properties and effective masses, 8,924 computed compounds",
        "s_p", "uV/K",
        "computed: 300 K, 1e18 carriers/cm3, constant relaxation time 1e-14 s",
        licence=RICCI_LICENCE,
    ),
    "brgoch_superhard_training": Stated(
        "Bulk and shear moduli used to search superhard materials", "bulk_modulus", "GPa", PBE
    ),
    "castelli_perovskites": Stated(
        "Formation energy and band edges of 18,928 computed cubic perovskites",
        "e_form", "eV", "DFT (RPBE), per five-atom cell; oxygen referred to water vapour",
    ),
    "citrine_thermal_conductivity": Stated(
        "Measured thermal conductivity of 872 compounds", "k_expt", "W/(m K)",
        MIXED.format("k_condition"),
    ),
    "dielectric_constant": Stated(
        "Refractive index and dielectric constants of 1,056 computed structures", "n", "1",
        "DFPT (PBE)",
    ),
    "double_perovskites_gap": Stated(
        "Band gap of 1,306 computed double perovskites", "gap gllbsc", "eV", "DFT (GLLB-SC)"
    ),
    "double_perovskites_gap_lumo": Stated(
        "Lowest unoccupied orbital energy of 55 atoms", "lumo", "eV", "computed", "atom"
    ),
    "elastic_tensor_2015": Stated(
        "Elastic properties of 1,181 computed structures", "K_VRH", "GPa", PBE
    ),
    "expt_formation_enthalpy": Stated(
        "Measured formation enthalpy of 1,276 compounds", "e_form expt", "eV/atom", "measured"
    ),
    "expt_formation_enthalpy_kingsbury": Stated(
        "Measured formation enthalpy of 2,135 solids", "expt_form_e", "eV/atom", "measured, 298 K"
    ),
    "expt_gap": Stated(
        "Measured band gap of 6,354 entries (repeated measurements, metals as 0)",
        "gap expt", "eV", "measured",
    ),
    "expt_gap_kingsbury": Stated(
        "Measured band gap of 4,604 compounds with Materials Project ids", "expt_gap", "eV",
        "measured",
    ),
    "flla": Stated(
        "Formation energy of 3,938 computed structures", "formation_energy_per_atom", "eV/atom",
        PBE,
    ),
    "glass_binary": Stated("Glass formation of binary alloys", "gfa", "1", GLASS),
    "glass_binary_v2": Stated("Glass formation of binary alloys, merged", "gfa", "1", GLASS),
    "glass_ternary_hipt": Stated(
        "Glass formation of sputtered ternary alloys of four systems", "gfa", "1", GLASS
    ),
    "glass_ternary_landolt": Stated("Glass formation of ternary alloys", "gfa", "1", GLASS),
    "heusler_magnetic": Stated(
        "Magnetic and electronic properties of 1,153 computed Heusler alloys", "e_form", "eV/atom",
        "DFT",
    ),
    "jarvis_dft_2d": Stated(
        "Properties of 636 computed two-dimensional materials", "exfoliation_en", "meV/atom",
        "DFT (OptB88vdW)", "composition",
    ),
    "jarvis_dft_3d": Stated(
        "Properties of 25,923 computed bulk materials", "e_form", "eV/atom", "DFT (OptB88vdW)",
        "composition",
    ),
    "jarvis_ml_dft_training": Stated(
        "Properties of 24,759 computed materials", "e_form", "eV/atom", "DFT (OptB88vdW)",
        "composition",
    ),
    "m2ax": Stated(
        "Elastic properties of 223 computed M2AX phases", "bulk modulus", "GPa", "DFT (PW91)"
    ),
    "matbench_dielectric": Stated(
        "Refractive index of 4,764 computed structures", "n", "1", MB_MP, "structure", MP
    ),
    "matbench_expt_gap": Stated(
        "Measured band gap of 4,604 compounds", "gap expt", "eV", "measured", "composition"
    ),
    "matbench_expt_is_metal": Stated(
        "Measured metallicity of 4,921 compounds", "is_metal", "1", "measured; 1 is a metal",
        "composition",
    ),
    "matbench_glass": Stated(
        "Glass formation of 5,680 alloys", "gfa", "1", GLASS, "composition"
    ),
    "matbench_jdft2d": Stated(
        "Exfoliation energy of 636 two-dimensional materials", "exfoliation_en", "meV/atom",
        "DFT (OptB88vdW)", "structure",
    ),
    "matbench_log_gvrh": Stated(
        "Shear modulus of 10,987 computed structures", "log10(G_VRH)", "log10(GPa)", MB_MP,
        "structure", MP,
    ),
    "matbench_log_kvrh": Stated(
        "Bulk modulus of 10,987 computed structures", "log10(K_VRH)", "log10(GPa)", MB_MP,
        "structure", MP,
    ),
    "matbench_mp_e_form": Stated(
        "Formation energy of 132,752 computed structures", "e_form", "eV/atom", MB_MP, "structure",
        MP,
    ),
    "matbench_mp_gap": Stated(
        "Band gap of 106,113 computed structures", "gap pbe", "eV", MB_MP, "structure", MP
    ),
    "matbench_mp_is_metal": Stated(
        "Computed metallicity of 106,113 structures", "is_metal", "1", MB_MP + "; 1 is a metal",
        "structure", MP,
    ),
    "matbench_perovskites": Stated(
        "Formation energy of 18,928 computed cubic perovskites", "e_form", "eV",
        "DFT (RPBE), per five-atom cell; oxygen referred to water vapour", "structure",
    ),
    "matbench_phonons": Stated(
        "Highest phonon peak of 1,265 computed structures", "last phdos peak", "1/cm",
        "DFPT, harmonic", "structure",
    ),
    "matbench_steels": Stated(
        "Measured yield strength of 312 steels", "yield strength", "MPa", "measured", "composition"
    ),
    "mp_all_20181018": Stated(
        "83,989 entries of the Materials Project with structures", "e_form", "eV/atom", MP_2018,
        licence=MP,
    ),
    "mp_nostruct_20181018": Stated(
        "83,989 entries of the Materials Project without structures", "e_form", "eV/atom", MP_2018,
        licence=MP,
    ),
    "phonon_dielectric_mp": Stated(
        "Phonon peak and dielectric constants of 1,296 computed compounds", "last phdos peak",
        "1/cm", "DFPT, harmonic",
    ),
    "piezoelectric_tensor": Stated(
        "Piezoelectric modulus of 941 computed structures", "eij_max", "C/m2", "DFPT (PBE)"
    ),
    "ricci_boltztrap_mp_tabular": Stated(
        "Electronic transport of 47,737 computed materials, also optimal values",
        "S.p [µV/K]", "uV/K",
        "computed: 300 K, 1e18 carriers/cm3, constant relaxation time; the columns of optimal "
        "values name their own temperature and doping",
        "pretty_formula", RICCI_LICENCE,
    ),
    "steel_strength": Stated(
        "Measured strength of 312 steels with weight percentages", "yield strength", "MPa",
        "measured",
    ),
    "superconductivity2018": Stated(
        "Measured critical temperature of 16,414 superconductors and others", "Tc", "K",
        "measured", "composition",
    ),
    "tholander_nitrides": Stated(
        "Energy of 12,815 computed Zn-(Ti, Zr, Hf)-N structures", "E_vasp_per_atom", "eV/atom",
        "DFT", "final_structure",
    ),
    "ucsb_thermoelectrics": Stated(
        "Measured thermoelectric properties of 1,093 samples", "S [muV/K]", "uV/K",
        MIXED.format("'T [K]'"), "composition",
    ),
    "wolverton_oxides": Stated(
        "Formation energy of 4,914 computed ABO3 perovskites", "e_form", "eV", "DFT (PBE)"
    ),
}  # fmt: skip


def ricci_seebeck() -> dict[str, Any]:
    """Describe the default data set, the file that tools/make_ricci_table.py writes.

    Neither the table nor matminer states units, temperature or doping. They follow from the
    publication (300 K, 1e18 carriers/cm3) and from the table itself: m_p * sigma_p is e2 n / m_e
    for n = 1e18/cm3 in isotropic materials, and kappa_p / sigma_p of the metals is the
    Wiedemann-Franz ratio at 300 K.
    """
    return {
        "title": "Seebeck coefficient and transport of 47,737 computed materials (no network)",
        "sha256": hashlib.sha256(RICCI_TABLE.read_bytes()).hexdigest(),
        "file_type": "parquet",
        "formula": "pretty_formula",
        "id": "mp_id",
        "target": "S_p",
        "columns": [
            "mp_id", "pretty_formula", "sigma_p", "sigma_n", "S_p", "S_n", "kappa_p", "kappa_n",
            "PF_p", "PF_n", "m_p", "m_n",
        ],
        "conditions": (
            "computed (DFT, BoltzTraP): 300 K, 1e18 carriers/cm3, p type (_p) or n type (_n), mean "
            "of the tensor's eigenvalues; sigma, kappa and PF are divided by the constant "
            "relaxation time. State and units are not in the file: matminer's metadata gives them "
            "for other tables of the same publication, and the values agree with them "
            "(m_p sigma_p = e2 n/m_e, Wiedemann-Franz)"
        ),
        "licence": (
            f"CC BY 4.0 (the publication); {RICCI_LICENCE}; table as compiled by matminer "
            "(modified BSD)"
        ),
        "citation": RICCI,
        "reference": "https://doi.org/10.1038/sdata.2017.85",
        "n_rows": 47737,
        "units": {
            **dict.fromkeys(("S_p", "S_n"), "uV/K"),
            **dict.fromkeys(("sigma_p", "sigma_n"), "1e15 1/(ohm m s)"),
            **dict.fromkeys(("kappa_p", "kappa_n"), "1e9 W/(m K s)"),
            **dict.fromkeys(("PF_p", "PF_n"), "1e9 W/(m K2 s)"),
            **dict.fromkeys(("m_p", "m_n"), "electron masses"),
        },
    }  # fmt: skip


def describe(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Join matminer's facts on one data set with what is stated here."""
    stated = KIND[name]
    columns = facts["columns"]
    for column in (stated.target, stated.formula):
        if column not in columns:
            raise SystemExit(f"{name}: matminer knows no column {column!r}")
    units = {column: _unit(column, text) for column, text in columns.items()}
    units[stated.target] = stated.unit
    text = " ".join(facts["reference"].split())
    return {
        "title": stated.title,
        "url": facts["url"],
        "sha256": facts["hash"],
        "file_type": facts["file_type"],
        "formula": stated.formula,
        "id": next((column for column in IDS if column in columns), ""),
        "target": stated.target,
        "columns": list(columns),
        "conditions": stated.conditions,
        "licence": stated.licence,
        "citation": text,
        "reference": _address(text, facts),
        "n_rows": facts["num_entries"],
        "units": {column: unit for column, unit in units.items() if unit},
    }


def _unit(column: str, text: str) -> str:
    bracket = re.search(r"\[([^\]]+)\]$", column)
    if bracket:
        return bracket[1]
    words = text.replace("eV per atom", "eV/atom").replace("(", " ").replace(")", " ").rstrip(".")
    for unit in UNITS:
        if re.search(rf"(?:^|\s)(?:in|In)?\s*{re.escape(unit)}(?=$|[\s,;.])", words):
            return SPELLED.get(unit, unit)
    return ""


def _address(text: str, facts: dict[str, Any]) -> str:
    everything = " ".join([text, *facts["bibtex_refs"]]).replace("{\\_}", "_")
    found = re.search(r"10\.\d{4,}/[^\s,;\"}]+", everything)
    if found:
        return "https://doi.org/" + found[0].rstrip(".)").removesuffix("/meta")
    link = re.search(r"https?://\S+", text)
    return link[0] if link else ""


def main() -> None:
    """Write the catalogue."""
    spec = importlib.util.find_spec("matminer")
    if spec is None or spec.origin is None:
        raise SystemExit("matminer is not installed")
    metadata = Path(spec.origin).parent / "datasets" / "dataset_metadata.json"
    facts = json.loads(metadata.read_text(encoding="utf-8"))
    if set(facts) != set(KIND):
        raise SystemExit(f"matminer's list differs: {sorted(set(facts) ^ set(KIND))}")
    entries = {"ricci_seebeck": ricci_seebeck()}
    entries |= {name: describe(name, facts[name]) for name in sorted(facts)}
    head = "# Written by tools/make_catalog.py; change that file, not this one.\n\n"
    CATALOGUE.write_text(head + tomli_w.dumps(entries), encoding="utf-8")


if __name__ == "__main__":
    main()
