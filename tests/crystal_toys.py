"""A few small crystals with features, targets and a network, for attacks on crystals."""

from dataclasses import replace

import numpy as np
import torch

from structure_toys import CRYSTALS, random_structure
from xtalshift.cal.deformation import still
from xtalshift.data.materials import Materials
from xtalshift.featurize import CompositionFeaturizer
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.nn.crystal_rows import CrystalRows
from xtalshift.nn.irnet import IRNet
from xtalshift.nn.rows import Rows
from xtalshift.structure import Structures


def few_crystals():
    """Return three textbook crystals and three of low symmetry."""
    rng = np.random.default_rng(5)
    named = [CRYSTALS[name] for name in ("rock salt", "perovskite", "selenium")]
    return Structures.join([*named, *(random_structure(rng, atoms) for atoms in (2, 3, 4))])


def materials_of(structures):
    """Return materials with structures and their compositions."""
    formulas = structures.compositions().reduced_formulas().tolist()
    materials = Materials.parse(formulas, structures=structures)
    return replace(materials, compositions=structures.compositions())


def crystal_problem(structures=None, blocks="magpie+chgnet", dtype=torch.float64):
    """Return a network, rows with crystals, the featurizer and the scaler."""
    structures = few_crystals() if structures is None else structures
    featurizer = CompositionFeaturizer(blocks)
    values = featurizer.transform(materials_of(structures))
    rng = np.random.default_rng(0)
    scaler = FeatureScaler().fit(np.vstack([values, values + rng.normal(0, 0.3, values.shape)]))
    x = torch.from_numpy(scaler.transform(values)).to(dtype)
    model = IRNet(x.shape[1], (16, 8), 0.2, torch.Generator().manual_seed(0)).to(dtype)
    with torch.no_grad():
        y = model(x) + torch.linspace(-1, 1.3, len(x), dtype=dtype)
    numbers = torch.arange(len(x))
    return model, Rows(x, y, crystals=CrystalRows(structures, numbers)), featurizer, scaler


def features_of(featurizer, scaler, structures):
    """Return the standardised features that the featurizer gives."""
    return scaler.transform(featurizer.transform(materials_of(structures)))


def random_moves(structures, seed=0, strain=0.02, shift=0.05):
    """Return random moves whose displacements have the mean 0."""
    generator = torch.Generator().manual_seed(seed)
    moves = still(structures.sizes, torch.zeros(1))
    for row, size in enumerate(structures.sizes.tolist()):
        moves[row, :6] = strain * torch.randn(6, generator=generator, dtype=torch.float64)
        shifts = shift * torch.randn(size, 3, generator=generator, dtype=torch.float64)
        moves[row, 6 : 6 + 3 * size] = (shifts - shifts.mean(dim=0)).flatten()
    return moves
