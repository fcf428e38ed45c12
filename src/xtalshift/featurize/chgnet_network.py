"""The atom features of the network of CHGNet, from its own weights or from random ones."""

from __future__ import annotations

import hashlib
import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ConfigError
from xtalshift.featurize.bond_graph import BondGraph, build_graph
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import Neighbours

if TYPE_CHECKING:
    import torch

WIDTH = 64
"""Number of features of an atom."""
ELEMENTS = 94
"""Largest atomic number that the network knows: plutonium."""
LAYER = 3
"""The convolution whose atom features are taken, of four."""
_MODEL = "0.3.0"
_WEIGHTS = "818dbd975187b2df03eb56d0c4f28fdd3bd05aa97758b2c530be80b72cfdc335"
_SEED = 0
_PASS_ATOMS = {"cpu": 32, "cuda": 2048}  # the arrays of a pass fit into the cache of a core
_GRADIENT_ATOMS = {"cpu": 32, "cuda": 512}  # for a gradient all arrays of a pass are kept


@dataclass(frozen=True, eq=False)
class Network:
    """The network with its weights on a device.

    It computes in float64: rounded to float32, the features of a crystal are the same bits in
    every batch, and those of another description of the crystal differ in the last digits only.
    """

    model: Any
    device: torch.device

    @property
    def pass_atoms(self) -> int:
        """How many atoms are a good batch on this device."""
        return _PASS_ATOMS[self._kind]

    @property
    def gradient_atoms(self) -> int:
        """How many atoms are a good batch for a pass with its gradient."""
        return _GRADIENT_ATOMS[self._kind]

    @property
    def _kind(self) -> str:
        return "cpu" if self.device.type == "cpu" else "cuda"

    def mean_features(self, structures: Structures, pairs: Neighbours) -> NDArray[np.float32]:
        """Return the means over the atoms of each structure, shape (n, WIDTH).

        Parameters
        ----------
        structures : Structures
            n structures with at least one atom each.
        pairs : Neighbours
            Their pairs of atoms within `bond_graph.CUTOFF`.
        """
        import torch

        graph = build_graph(pairs)
        with torch.inference_mode():
            vectors = self.to_device(graph.pairs.vectors)
            means = self.pooled(structures, graph, vectors).cpu().numpy()
        return np.asarray(means, dtype=np.float32)

    def pooled(
        self, structures: Structures, graph: BondGraph, vectors: torch.Tensor
    ) -> torch.Tensor:
        """Return the means over the atoms as a differentiable function of the bonds.

        Parameters
        ----------
        structures : Structures
            n structures with at least one atom each; only their elements matter.
        graph : BondGraph
            p directed bonds. Those longer than `bond_graph.CUTOFF` change nothing.
        vectors : Tensor of float64, shape (p, 3)
            From the first atom of each bond to the second in angstrom, on the device.

        Returns
        -------
        Tensor of float64, shape (n, WIDTH)
        """
        atoms = self._atom_features(structures.z, graph, vectors)
        sums = atoms.new_zeros(len(structures), WIDTH)
        sums = sums.index_add(0, self.to_device(structures.rows), atoms)
        return sums / self.to_device(structures.sizes)[:, None]

    def _atom_features(
        self, z: NDArray[np.uint8], graph: BondGraph, vectors: torch.Tensor
    ) -> torch.Tensor:
        """Return the features after convolution `LAYER`, shape (m, WIDTH).

        The steps of Deng et al., Nat. Mach. Intell. 5, 1031 (2023), with the layers of the network
        itself; what comes after the convolution is left out.
        """
        import torch

        model, to = self.model, self.to_device
        pairs, sides = graph.pairs, to(graph.sides)
        bonds = to(graph.bonds)
        distances = vectors.square().sum(dim=1).sqrt()
        lengths = distances[to(graph.directed)]
        long = model.bond_basis_expansion.rbf_expansion_ag(lengths)
        short = model.bond_basis_expansion.rbf_expansion_bg(lengths)
        units = vectors / distances[:, None]
        angles = model.angle_basis_expansion(units[sides[0]], units[sides[1]])
        atom_values = model.atom_embedding(to(z.astype(np.int64)) - 1)
        bond_values = model.bond_embedding(long)
        angle_values = model.angle_embedding(angles)
        atoms = to(pairs.atoms)
        atom_graph = torch.stack([atoms, to(pairs.others)], dim=1)
        angle_graph = torch.stack([atoms[sides[0]], bonds[sides[0]], bonds[sides[1]]], dim=1)
        long_weights, short_weights = model.bond_weights_ag(long), model.bond_weights_bg(short)
        for layer in range(LAYER):
            atom_values = model.atom_conv_layers[layer](
                atom_feas=atom_values,
                bond_feas=bond_values,
                bond_weights=long_weights,
                atom_graph=atom_graph,
                directed2undirected=bonds,
            )
            if layer == LAYER - 1:
                break
            bond_values = model.bond_conv_layers[layer](
                atom_feas=atom_values,
                bond_feas=bond_values,
                bond_weights=short_weights,
                angle_feas=angle_values,
                bond_graph=angle_graph,
            )
            angle_values = model.angle_layers[layer](
                atom_feas=atom_values,
                bond_feas=bond_values,
                angle_feas=angle_values,
                bond_graph=angle_graph,
            )
        return atom_values  # type: ignore[no-any-return]

    def to_device(self, array: NDArray[Any]) -> torch.Tensor:
        """Return an array as a tensor on the device of the network."""
        import torch

        return torch.as_tensor(np.ascontiguousarray(array), device=self.device)


def split_atoms(sizes: NDArray[np.int64], most: int) -> list[NDArray[np.int64]]:
    """Return the indices of structures in parts of about `most` atoms together.

    Parameters
    ----------
    sizes : ndarray of int64, shape (n,)
        Numbers of atoms.
    most : int
        Such as `Network.pass_atoms`.
    """
    part = np.cumsum(sizes) // most
    return np.split(np.arange(len(sizes)), np.flatnonzero(np.diff(part)) + 1)


def name_network(*, random: bool) -> str:
    """Return a name that is another one if the features may be others.

    Raises
    ------
    ConfigError
        If CHGNet is not installed.
    """
    try:
        kind = f"random-{_SEED}-torch-{version('torch')}" if random else _WEIGHTS[:16]
        return f"chgnet-{version('chgnet')}-{_MODEL}-c{LAYER}-mean-{kind}"
    except PackageNotFoundError as error:
        raise _not_installed() from error


@cache
def load_network(*, random: bool) -> Network:
    """Return the network with its weights, or with random ones from a fixed seed.

    Raises
    ------
    ConfigError
        If CHGNet is not installed, or has other weights.
    """
    import torch

    try:
        # it prints that it is there; building it draws random numbers
        with redirect_stdout(io.StringIO()), torch.random.fork_rng(devices=[]):
            from chgnet.model.model import CHGNet

            model = CHGNet.load(model_name=_MODEL, use_device="cpu", verbose=False)
            if _hash(model) != _WEIGHTS:
                raise ConfigError(
                    f"the weights of CHGNet {_MODEL} in chgnet {version('chgnet')} are not those "
                    'that the block chgnet was made for; pip install "xtalshift[chgnet]"'
                )
            if random:
                torch.manual_seed(_SEED)
                model = CHGNet(**model.model_args)
    except ImportError as error:
        raise _not_installed() from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Network(model.eval().double().requires_grad_(False).to(device), device)


def _not_installed() -> ConfigError:
    return ConfigError('the block chgnet needs CHGNet: pip install "xtalshift[chgnet]"')


def _hash(model: Any) -> str:
    """Return the SHA-256 of all weights."""
    digest = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.numpy().tobytes())
    return digest.hexdigest()
