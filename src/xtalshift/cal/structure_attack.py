"""The inner maximisation on real crystals: substitute elements, strain cells, move atoms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from xtalshift.cal.crystal_features import CrystalFeatures
from xtalshift.cal.deformation import MoveSpace, deform, still
from xtalshift.cal.row_ascent import Goal, Within
from xtalshift.cal.settings import CALConfig
from xtalshift.cal.substitution import Trials, substitute_best
from xtalshift.errors import DataError
from xtalshift.featurize import CompositionFeatures
from xtalshift.featurize.atom_batches import split_atoms
from xtalshift.featurize.scale import FeatureScaler
from xtalshift.nn.crystal_rows import CrystalRows
from xtalshift.nn.losses import RowLoss
from xtalshift.nn.padded_compositions import Slots, pad_compositions
from xtalshift.nn.rows import Rows, row_losses
from xtalshift.structure import Structures


@dataclass(frozen=True)
class StructureAttack:
    """Adversarial crystals.

    ``s_adv = argmax_s' l(f(phi(s')), y) - gamma * sum_j w_j (phi(s')_j - x_j)^2``: the inner
    problem of arXiv:2408.09297 with the features ``phi`` of a crystal ``s'`` instead of free
    features, solved for each row separately (sample weights do not matter):

    1. substitution: of all replacements of one element, on all its sites, by a similar one
       (`chem.element_similarity.similar_elements`) the one with the largest objective, if that is
       an increase and the budget allows it; `substitutions` times, no element twice. The cell and
       the positions stay;
    2. strain and displacements: `steps` steps of steepest ascent, see
       `xtalshift.cal.deformation.MoveSpace`. The first goes to the end of both budgets. A step that
       leaves the budget of the features, or brings atoms too close, is pulled back toward the
       start. A step that does not raise the objective is undone, and the next one is half as long.

    The gradient is that of the block ``chgnet``. Moves follow it, so they keep the symmetry of the
    crystal: what a symmetry fixes stays fixed.

    ============ ============================ ===========
    symbol       variable                     shape
    ============ ============================ ===========
    x, y         rows.x, rows.y               (n, d), (n,)
    s            rows.crystals                n crystals
    phi          features
    w, gamma     weights, gamma               (d,), scalar
    ============ ============================ ===========

    Parameters
    ----------
    features : CrystalFeatures
        ``phi``, with the budgets; ``rows.x`` are its values.
    steps : int
        Number of steps.
    substitutions : int
        Number of elements of a row that may be replaced.
    neighbours : int
        Number of candidates for each.
    charge_neutral : bool
        Where a neutral assignment of oxidation states is known, replace an element only by one that
        can have its oxidation state.
    loss : callable
        ``l``, the loss of each row.
    """

    features: CrystalFeatures
    steps: int
    substitutions: int = 0
    neighbours: int = 5
    charge_neutral: bool = False
    loss: RowLoss = row_losses

    def __call__(
        self, model: nn.Module, rows: Rows, weights: Tensor, gamma: float, within: Within
    ) -> tuple[Tensor, Structures]:
        """Return adversarial rows.

        Parameters
        ----------
        model : torch.nn.Module
            Called as ``model(x, generator)``; without dropout.
        rows : Rows
            Rows to start from, with crystals.
        weights : Tensor, shape (d,)
            Covariate weights ``w``.
        gamma : float
            Factor of the transport cost.
        within : callable
            Decides which displacements are allowed; those of the result always are.

        Returns
        -------
        x_adv : Tensor, shape (n, d)
            Detached features ``phi`` of the adversarial crystals; rows that did not move are those
            of `rows`, bit for bit.
        structures : Structures
            Adversarial crystals.

        Raises
        ------
        DataError
            If `rows` has no crystals, or a leading axis for the members of an ensemble.
        """
        if rows.crystals is None:
            raise DataError("rows have no crystals; attack their features instead")
        if rows.x.ndim != 2:  # noqa: PLR2004
            raise DataError(f"{rows.x.ndim=}: attack the members of an ensemble one by one")
        x_adv, moved = rows.x.clone(), []
        # rows do not depend on each other, and a pass keeps all its arrays
        atoms = self.features.network.gradient_atoms
        for part in split_atoms(rows.crystals.structures.sizes, atoms):
            chosen = torch.from_numpy(part).to(rows.x.device)
            some = rows.take(chosen)
            assert some.crystals is not None
            goal = Goal(model, some.x, some.labels, weights, gamma, _known(within), loss=self.loss)
            x_adv[chosen], structures = self._attack(some.crystals, goal)
            moved.append(structures)
        return x_adv, Structures.join(moved)

    def _attack(self, crystals: CrystalRows, goal: Goal) -> tuple[Tensor, Structures]:
        structures, x = crystals.structures, goal.x
        if self.substitutions:
            structures, x = self._substitute(crystals, goal)
        if not self.steps:
            return x, structures
        features, sizes = self.features, structures.sizes
        space = MoveSpace(sizes, features.strain, features.displacement)
        fixed = features.fix(crystals, x, structures)
        best = goal.climb(fixed, still(sizes, like=x), space.step, self.steps, 1.0)
        moves = (best.at != 0).any(dim=1, keepdim=True)
        return torch.where(moves, best.x, x), deform(structures, best.at)

    def _substitute(self, crystals: CrystalRows, goal: Goal) -> tuple[Structures, Tensor]:
        structures = crystals.structures
        slots = pad_compositions(
            structures.compositions(), dtype=goal.x.dtype, device=goal.x.device
        )
        first = slots.elements.cpu().numpy()[structures.rows]
        place = np.argmax(first == structures.z[:, None], axis=1)  # slot of each atom

        def write(elements: Tensor, row: Tensor) -> Structures:
            """Return crystals with the elements of slots (m, k); `row` are those they come from."""
            rows = row.cpu().numpy()
            atoms = np.concatenate(
                [np.arange(structures.starts[k], structures.starts[k + 1]) for k in rows]
            )
            some = structures.take(rows)
            z = elements.cpu().numpy()[some.rows, place[atoms]]
            return replace(some, z=z.astype(np.uint8))

        def features(now: Slots, trials: Trials) -> tuple[Tensor, Tensor]:
            written = write(trials.rows_of(now).elements, trials.row)
            start = crystals.take(trials.row)
            return self.features.substituted(start, goal.x[trials.row], written)

        found, x = substitute_best(
            slots,
            goal.x,
            goal,
            features,
            times=self.substitutions,
            neighbours=self.neighbours,
            charge_neutral=self.charge_neutral,
        )
        everything = torch.arange(len(slots), device=found.elements.device)
        return write(found.elements, everything), x


def _known(within: Within) -> Within:
    """Return the same budget, which crystals without features are never in."""
    return lambda displacement: within(displacement) & displacement.isfinite().all(dim=-1)


def build_structure_attack(
    featurizer: CompositionFeatures,
    scaler: FeatureScaler,
    config: CALConfig,
    loss: RowLoss = row_losses,
) -> StructureAttack:
    """Return the attack of the settings.

    Parameters
    ----------
    featurizer : CompositionFeatures
        From materials to features, the block ``chgnet`` among them.
    scaler : FeatureScaler
        A fitted one.
    config : CALConfig
        Settings.
    loss : callable
        The loss of each row.

    Raises
    ------
    ConfigError
        As `CrystalFeatures`.
    """
    features = CrystalFeatures(
        featurizer,
        scaler,
        strain=config.strain_budget / 100.0,
        displacement=config.displacement_budget,
        closest=config.closest,
    )
    return StructureAttack(
        features,
        steps=config.attack_steps,
        substitutions=config.substitutions,
        neighbours=config.neighbours,
        charge_neutral=config.charge_neutral,
        loss=loss,
    )
