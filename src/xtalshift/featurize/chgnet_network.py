"""The atom features of the network of CHGNet, from its own weights or from random ones."""

from __future__ import annotations

import hashlib
import io
from contextlib import redirect_stdout
from copy import deepcopy
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
ELEMENTS = frozenset(range(1, 95))
"""Atomic numbers that the network knows: all to plutonium."""
DEPTH = 4
"""Number of convolutions."""
LAYER = 3
"""The convolution whose features of atoms CHGNet itself returns."""
_MODEL = "0.3.0"
WEIGHTS = "818dbd975187b2df03eb56d0c4f28fdd3bd05aa97758b2c530be80b72cfdc335"
"""SHA-256 of all weights of CHGNet."""
_SEED = 0
_PASS_ATOMS = {"cpu": 32, "cuda": 2048}  # the arrays of a pass fit into the cache of a core
_GRADIENT_ATOMS = {"cpu": 32, "cuda": 512}  # for a gradient all arrays of a pass are kept


@dataclass(eq=False)
class GraphState:
    """The features of the atoms, bonds and angles of a batch on their way through the network.

    The steps are those of Deng et al., Nat. Mach. Intell. 5, 1031 (2023), with the layers of the
    network itself.
    """

    atoms: torch.Tensor
    bonds: torch.Tensor
    angles: torch.Tensor
    """`atoms`, `bonds`, `angles`: shapes (m, WIDTH), (b, WIDTH) and (a, WIDTH)."""
    long_weights: torch.Tensor
    short_weights: torch.Tensor
    """`long_weights`, `short_weights`: weights of the bonds in messages to atoms and to bonds,
    shapes (b, WIDTH)."""
    bond_of: torch.Tensor
    """Shape (p,). Bond of each pair of atoms; p is 2 b."""
    atom_graph: torch.Tensor
    """Shape (p, 2). Both atoms of each pair."""
    angle_graph: torch.Tensor
    """Shape (a, 3). Atom and both bonds of each angle."""

    def update_atoms(self, model: Any, layer: int) -> None:
        """Apply a convolution of atoms, numbered from 0."""
        self.atoms = model.atom_conv_layers[layer](
            atom_feas=self.atoms,
            bond_feas=self.bonds,
            bond_weights=self.long_weights,
            atom_graph=self.atom_graph,
            directed2undirected=self.bond_of,
        )

    def update_bonds(self, model: Any, layer: int) -> None:
        """Apply the convolution of bonds and angles that follows one of atoms."""
        self.bonds = model.bond_conv_layers[layer](
            atom_feas=self.atoms,
            bond_feas=self.bonds,
            bond_weights=self.short_weights,
            angle_feas=self.angles,
            bond_graph=self.angle_graph,
        )
        self.angles = model.angle_layers[layer](
            atom_feas=self.atoms,
            bond_feas=self.bonds,
            angle_feas=self.angles,
            bond_graph=self.angle_graph,
        )


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

    def atom_features(
        self, structures: Structures, pairs: Neighbours, depth: int
    ) -> list[NDArray[np.float64]]:
        """Return the features of m atoms after each convolution, shapes (m, WIDTH).

        What comes after the last convolution that is asked for is left out.

        Parameters
        ----------
        structures : Structures
            Structures with m atoms in all.
        pairs : Neighbours
            Their pairs of atoms within `bond_graph.CUTOFF`.
        depth : int
            Number of convolutions.
        """
        import torch

        found: list[NDArray[np.float64]] = []
        with torch.inference_mode():
            state = self._begin_at(structures, pairs)
            for layer in range(depth):
                if layer:
                    state.update_bonds(self.model, layer - 1)
                state.update_atoms(self.model, layer)
                found.append(np.asarray(state.atoms.cpu().numpy(), dtype=np.float64))
        return found

    def before_last(self, structures: Structures, pairs: Neighbours) -> GraphState:
        """Return what the last convolution of atoms starts from; see `atom_features`."""
        import torch

        with torch.no_grad():
            state = self._begin_at(structures, pairs)
            for layer in range(DEPTH - 1):
                state.update_atoms(self.model, layer)
                state.update_bonds(self.model, layer)
        return state

    def last_layers(self) -> tuple[Any, Any]:
        """Return copies of the last convolution of atoms and of the norm behind it."""
        layers = (self.model.atom_conv_layers[DEPTH - 1], self.model.readout_norm)
        one, other = (deepcopy(layer).cpu() for layer in layers)
        return one, other

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
            Means of the features after convolution `LAYER`.
        """
        state = self._begin(structures.z, graph, vectors)
        for layer in range(LAYER):
            if layer:
                state.update_bonds(self.model, layer - 1)
            state.update_atoms(self.model, layer)
        sums = state.atoms.new_zeros(len(structures), WIDTH)
        sums = sums.index_add(0, self.to_device(structures.rows), state.atoms)
        return sums / self.to_device(structures.sizes)[:, None]

    def _begin_at(self, structures: Structures, pairs: Neighbours) -> GraphState:
        graph = build_graph(pairs)
        return self._begin(structures.z, graph, self.to_device(graph.pairs.vectors))

    def _begin(self, z: NDArray[np.uint8], graph: BondGraph, vectors: torch.Tensor) -> GraphState:
        import torch

        model, to = self.model, self.to_device
        pairs, sides, bonds = graph.pairs, to(graph.sides), to(graph.bonds)
        distances = vectors.square().sum(dim=1).sqrt()
        lengths = distances[to(graph.directed)]
        long = model.bond_basis_expansion.rbf_expansion_ag(lengths)
        short = model.bond_basis_expansion.rbf_expansion_bg(lengths)
        units = vectors / distances[:, None]
        angles = model.angle_basis_expansion(units[sides[0]], units[sides[1]])
        atoms = to(pairs.atoms)
        return GraphState(
            atoms=model.atom_embedding(to(z.astype(np.int64)) - 1),
            bonds=model.bond_embedding(long),
            angles=model.angle_embedding(angles),
            long_weights=model.bond_weights_ag(long),
            short_weights=model.bond_weights_bg(short),
            bond_of=bonds,
            atom_graph=torch.stack([atoms, to(pairs.others)], dim=1),
            angle_graph=torch.stack([atoms[sides[0]], bonds[sides[0]], bonds[sides[1]]], dim=1),
        )

    def to_device(self, array: NDArray[Any]) -> torch.Tensor:
        """Return an array as a tensor on the device of the network."""
        import torch

        return torch.as_tensor(np.ascontiguousarray(array), device=self.device)


def name_network(random: bool) -> str:  # noqa: FBT001 - the one question there is
    """Return a name that is another one if the features may be others.

    Raises
    ------
    ConfigError
        If CHGNet is not installed.
    """
    try:
        kind = f"random-{_SEED}-torch-{version('torch')}" if random else WEIGHTS[:16]
        return f"chgnet-{version('chgnet')}-{_MODEL}-{kind}"
    except PackageNotFoundError as error:
        raise _not_installed() from error


@cache
def load_network(random: bool) -> Network:  # noqa: FBT001
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
            if _hash(model) != WEIGHTS:
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
