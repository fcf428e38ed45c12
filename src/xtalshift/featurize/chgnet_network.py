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
from xtalshift.featurize.bond_graph import build_graph
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
_MODEL = "0.3.0"
WEIGHTS = "818dbd975187b2df03eb56d0c4f28fdd3bd05aa97758b2c530be80b72cfdc335"
"""SHA-256 of all weights of CHGNet."""
_SEED = 0
_PASS_ATOMS = {"cpu": 32, "cuda": 2048}  # the arrays of a pass fit into the cache of a core


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
        return _PASS_ATOMS["cpu" if self.device.type == "cpu" else "cuda"]

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
            state = self._begin(structures, pairs)
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
            state = self._begin(structures, pairs)
            for layer in range(DEPTH - 1):
                state.update_atoms(self.model, layer)
                state.update_bonds(self.model, layer)
        return state

    def last_layers(self) -> tuple[Any, Any]:
        """Return copies of the last convolution of atoms and of the norm behind it."""
        layers = (self.model.atom_conv_layers[DEPTH - 1], self.model.readout_norm)
        one, other = (deepcopy(layer).cpu() for layer in layers)
        return one, other

    def _begin(self, structures: Structures, pairs: Neighbours) -> GraphState:
        graph, model, to = build_graph(pairs), self.model, self._to_device
        pairs, (first, second) = graph.pairs, graph.sides
        lengths = to(pairs.distances[graph.directed])
        long = model.bond_basis_expansion.rbf_expansion_ag(lengths)
        short = model.bond_basis_expansion.rbf_expansion_bg(lengths)
        units = to(pairs.vectors / pairs.distances[:, None])
        angles = model.angle_basis_expansion(units[to(first)], units[to(second)])
        return GraphState(
            atoms=model.atom_embedding(to(structures.z.astype(np.int64)) - 1),
            bonds=model.bond_embedding(long),
            angles=model.angle_embedding(angles),
            long_weights=model.bond_weights_ag(long),
            short_weights=model.bond_weights_bg(short),
            bond_of=to(graph.bonds),
            atom_graph=to(np.column_stack([pairs.atoms, pairs.others])),
            angle_graph=to(
                np.column_stack([pairs.atoms[first], graph.bonds[first], graph.bonds[second]])
            ),
        )

    def _to_device(self, array: NDArray[Any]) -> torch.Tensor:
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
    return Network(model.eval().double().to(device), device)


def _not_installed() -> ConfigError:
    return ConfigError('the block chgnet needs CHGNet: pip install "xtalshift[chgnet]"')


def _hash(model: Any) -> str:
    """Return the SHA-256 of all weights."""
    digest = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.numpy().tobytes())
    return digest.hexdigest()
