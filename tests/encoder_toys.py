"""A small encoder that no training made."""

import numpy as np

from xtalshift.featurize.encoder import (
    N_INPUTS,
    PretrainingTable,
    hash_formulas,
    network_inputs,
    save_encoder,
)


def toy_arrays(formulas=("NaCl", "Fe2O3"), size=5, seed=0):
    rng = np.random.default_rng(seed)
    from xtalshift.chem.compositions import parse_formulas

    parsed, reasons, _ = parse_formulas(["NaCl", "Fe2O3", "LiFePO4", "GaN", "SrTiO3", "CuZn"])
    inputs = network_inputs(parsed, reasons)
    spread = inputs.std(axis=0)
    shapes = {"first": (N_INPUTS, 7), "second": (7, 6), "output": (6, size)}
    layers = {
        f"{name}.{part}": (rng.normal(size=one) / np.sqrt(shape[0])).astype(np.float16)
        for name, shape in shapes.items()
        for part, one in (("weight", shape), ("bias", shape[1:]))
    }
    return {
        "inputs.mean": inputs.mean(axis=0),
        "inputs.gain": np.where(spread > 0, 1 / np.maximum(spread, 1e-9), 0).astype(np.float32),
        **layers,
        "formulas": np.sort(hash_formulas(formulas)),
    }


def toy_card(arrays):
    return {
        "tables": (PretrainingTable("toys", "formation energy", 2, "CC0", "nobody", 0.5),),
        "materials": len(arrays["formulas"]),
        "without": {},
        "settings": {"seed": 0},
        "versions": {"xtalshift": "0"},
    }


def write_toy_encoder(folder, **options):
    arrays = toy_arrays(**options)
    return save_encoder(folder, arrays, toy_card(arrays))
