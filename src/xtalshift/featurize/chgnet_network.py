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
_WEIGHTS = "818dbd975187b2df03eb56d0c4f28fdd3bd05aa97758b2c530be80b72cfdc335"
_SEED = 0
_PASS_ATOMS = {"cpu": 32, "cuda": 2048}  # the arrays of a pass fit into the cache of a core


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

        The steps of Deng et al., Nat. Mach. Intell. 5, 1031 (2023), with the layers of the network
        itself; what comes after the last convolution that is asked for is left out.

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

        graph = build_graph(pairs)
        found: list[NDArray[np.float64]] = []
        pairs, (first, second) = graph.pairs, graph.sides
        with torch.inference_mode():
            model, to = self.model, self._to_device
            bonds = to(graph.bonds)
            lengths = to(pairs.distances[graph.directed])
            long = model.bond_basis_expansion.rbf_expansion_ag(lengths)
            short = model.bond_basis_expansion.rbf_expansion_bg(lengths)
            units = to(pairs.vectors / pairs.distances[:, None])
            angles = model.angle_basis_expansion(units[to(first)], units[to(second)])
            atom_values = model.atom_embedding(to(structures.z.astype(np.int64)) - 1)
            bond_values = model.bond_embedding(long)
            angle_values = model.angle_embedding(angles)
            atom_graph = to(np.column_stack([pairs.atoms, pairs.others]))
            angle_graph = to(
                np.column_stack([pairs.atoms[first], graph.bonds[first], graph.bonds[second]])
            )
            long_weights, short_weights = model.bond_weights_ag(long), model.bond_weights_bg(short)
            for layer in range(depth):
                atom_values = model.atom_conv_layers[layer](
                    atom_feas=atom_values,
                    bond_feas=bond_values,
                    bond_weights=long_weights,
                    atom_graph=atom_graph,
                    directed2undirected=bonds,
                )
                found.append(np.asarray(atom_values.cpu().numpy(), dtype=np.float64))
                if layer == depth - 1:
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
        return found

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
        kind = f"random-{_SEED}-torch-{version('torch')}" if random else _WEIGHTS[:16]
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
