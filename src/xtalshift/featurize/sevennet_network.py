"""The invariant atom features of SevenNet-0, from its own weights or from random ones."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtalshift.errors import ConfigError
from xtalshift.structure import Structures
from xtalshift.structure.neighbours import Neighbours

if TYPE_CHECKING:
    import torch

WIDTH = 128
"""Number of invariant features of an atom."""
DEPTH = 5
"""Number of convolutions."""
CUTOFF = 5.0
"""Largest distance of neighbours in angstrom."""
ELEMENTS = frozenset(range(1, 95)) - frozenset(range(84, 89))
"""Atomic numbers that the network knows: to plutonium, without those from polonium to radium."""
_MODEL = "SevenNet_0__11Jul2024"
WEIGHTS = "7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36"
"""SHA-256 of the file of weights of SevenNet-0."""
_SEED = 0
_PARTS = (
    "self_connection_intro",
    "self_interaction_1",
    "convolution",
    "self_interaction_2",
    "self_connection_outro",
    "equivariant_gate",
)
_PASS_ATOMS = {"cpu": 32, "cuda": 2048}
_PASS_PAIRS = {"cpu": 256, "cuda": 65_536}  # each pair needs up to 25 kB


@dataclass(frozen=True, eq=False)
class Network:
    """The network with its weights on a device.

    It computes in float64, as that of CHGNet does and for the same reasons.
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
        """Return the invariant features of m atoms after each convolution, shapes (m, WIDTH).

        The steps of Park et al., J. Chem. Theory Comput. 20, 4857 (2024), with the layers of the
        network itself; what comes after the last convolution that is asked for is left out.

        Parameters
        ----------
        structures : Structures
            Structures with m atoms in all.
        pairs : Neighbours
            Their pairs of atoms within `CUTOFF`.
        depth : int
            Number of convolutions.
        """
        import torch
        from sevenn import _keys as key

        model, found = self.model, []
        with torch.inference_mode():
            data = {key.EDGE_VEC: self._to_device(pairs.vectors)}
            model.edge_embedding(data)
            sides = self._to_device(np.stack([pairs.atoms, pairs.others]))
            kinds = model.z_to_onehot_tensor.to(self.device)[
                self._to_device(structures.z.astype(np.int64))
            ]
            classes = model.onehot_idx_to_onehot.num_classes
            data[key.NODE_FEATURE] = torch.nn.functional.one_hot(kinds, classes).double()
            model.onehot_to_feature_x(data)
            for layer in range(depth):
                parts = {name: getattr(model, f"{layer}_{name}") for name in _PARTS}
                parts["self_connection_intro"](data)
                parts["self_interaction_1"](data)
                data[key.NODE_FEATURE] = self._convolve(
                    parts["convolution"],
                    data[key.NODE_FEATURE],
                    data[key.EDGE_ATTR],
                    data[key.EDGE_EMBEDDING],
                    sides,
                    only_invariants=layer == depth - 1,
                )
                parts["self_interaction_2"](data)
                parts["self_connection_outro"](data)
                parts["equivariant_gate"](data)
                values = data[key.NODE_FEATURE][:, :WIDTH].cpu().numpy()
                found.append(np.asarray(values, dtype=np.float64))
        return found

    def _convolve(
        self,
        layer: Any,
        x: torch.Tensor,
        harmonics: torch.Tensor,
        radial: torch.Tensor,
        sides: torch.Tensor,
        *,
        only_invariants: bool,
    ) -> torch.Tensor:
        """Return the sums of the messages to each atom, shape (m, columns).

        They are made for a few pairs at a time, for they are long. With `only_invariants` all
        columns but those of the invariants, which come first, are 0.
        """
        product = layer.convolution
        total = x.new_zeros((len(x), product.irreps_out.dim))
        if only_invariants:
            product = _invariant_part(product)
        columns, weights = product.irreps_out.dim, product.weight_numel
        size = _PASS_PAIRS["cpu" if self.device.type == "cpu" else "cuda"]
        for start in range(0, sides.shape[1], size):
            part = slice(start, start + size)
            to, of = sides[:, part]
            numbers = layer.weight_nn(radial[part])[:, :weights]
            messages = product(x[of], harmonics[part], numbers)
            total[:, :columns].index_add_(0, to, messages)
        return total.div_(layer.denominator)

    def _to_device(self, array: NDArray[Any]) -> torch.Tensor:
        import torch

        return torch.as_tensor(np.ascontiguousarray(array), device=self.device)


def name_network(random: bool) -> str:  # noqa: FBT001 - the one question there is
    """Return a name that is another one if the features may be others.

    Raises
    ------
    ConfigError
        If SevenNet is not installed.
    """
    try:
        kind = WEIGHTS[:16]
        if random:
            kind = f"random-{_SEED}-torch-{version('torch')}-e3nn-{version('e3nn')}"
        return f"sevennet-{version('sevenn')}-{kind}"
    except PackageNotFoundError as error:
        raise _not_installed() from error


@cache
def load_network(random: bool) -> Network:  # noqa: FBT001
    """Return the network with its weights, or with random ones from a fixed seed.

    Raises
    ------
    ConfigError
        If SevenNet is not installed, or has other weights.
    """
    import torch

    try:
        # it warns of its own use of PyTorch; building it draws random numbers
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            import sevenn
            from sevenn.checkpoint import SevenNetCheckpoint
            from sevenn.model_build import build_E3_equivariant_model

            folder = Path(sevenn.__file__).parent / "pretrained_potentials" / _MODEL
            path = folder / "checkpoint_sevennet_0.pth"
            if _hash(path) != WEIGHTS:
                raise ConfigError(
                    f"the weights of SevenNet-0 in sevenn {version('sevenn')} are not those that "
                    'the block sevennet was made for; pip install "xtalshift[sevennet]"'
                )
            checkpoint = SevenNetCheckpoint(path)
            if random:
                torch.manual_seed(_SEED)
                model = build_E3_equivariant_model(checkpoint.config)
                known = checkpoint.model_state_dict  # a mean number of neighbours, no weights
                sizes = {name: known[name] for name in known if name.endswith(".denominator")}
                model.load_state_dict(sizes, strict=False)
            else:
                model = checkpoint.build_model()
            _sharpen(model.eval().double())
    except ImportError as error:
        raise _not_installed() from error
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Network(model.to(device), device)


def _sharpen(model: Any) -> None:
    """Replace the coupling coefficients, which are rounded to float32, by those of float64.

    Else another orientation of a crystal would change its features by about 1e-7.
    """
    import torch
    from e3nn import o3

    for name, buffer in model.named_buffers():
        _, found, degrees = name.partition("_w3j_")
        if found:
            numbers = map(int, degrees.split("_"))
            buffer.copy_(o3.wigner_3j(*numbers, dtype=torch.float64).reshape(buffer.shape))


@cache
def _invariant_part(product: Any) -> Any:
    """Return the tensor product that makes the invariants of another one, with its first weights.

    All its paths have outputs of their own, ordered by their degree, so that the others are of no
    consequence.
    """
    import torch
    from e3nn import o3

    kept = [one for one in product.instructions if product.irreps_out[one.i_out].ir.l == 0]
    first = product.irreps_out[: len(kept)]
    assert [one.i_out for one in kept] == list(range(len(kept)))
    assert kept == product.instructions[: len(kept)]
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        made = o3.TensorProduct(
            product.irreps_in1,
            product.irreps_in2,
            first,
            [(one.i_in1, one.i_in2, one.i_out, one.connection_mode, True) for one in kept],
            shared_weights=False,
            internal_weights=False,
        ).double()
        _sharpen(made)
    return made.to(next(product.buffers()).device)


def _not_installed() -> ConfigError:
    return ConfigError('the block sevennet needs SevenNet: pip install "xtalshift[sevennet]"')


def _hash(path: Path) -> str:
    """Return the SHA-256 of a file, an empty text if there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
