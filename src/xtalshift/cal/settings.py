"""Settings of Crystal Adversarial Learning.

Source of the presets ``paper`` and ``paper-targeted``: Li, Miklaucic and Hu, arXiv:2408.09297
(J. Phys. Chem. C 2025, 129, 6372) and the settings of the published runs.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from xtalshift.config import Settings
from xtalshift.errors import ConfigError
from xtalshift.nn.settings import Layers
from xtalshift.registry import near_miss

_PAPER: dict[str, Any] = {
    "epochs": 500,
    "patience": 100,
    "batch_size": 256,
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "schedule": "constant",
    "dropout_epochs": 1,
    "warmup_epochs": 10,
    "resample_every": 10,
    # 20 hardest batches as configured; the published loop counts one more
    "partial_batches": 21,
    "partial_fraction": 1.0,
    "erm_rows": "hardest",
    "attack": "features",
    "objective": "loss",
    "labels": "own",
    "attack_method": "adam",
    "attack_steps": 10,
    "attack_step_size": 3e-4,
    "attack_betas": (0.9, 0.9),
    "ball": "none",
    "epsilon": 0.0,
    "fraction_budget": 0.05,
    "strain_budget": 3.0,
    "displacement_budget": 0.1,
    "closest": 0.85,
    "charge_neutral": False,
    "substitutions": 0,
    "neighbours": 5,
    "theta_steps": 3,
    "theta_optimizer": "fresh",
    "theta_learning_rate": 3e-4,
    "weight_rule": "published",
    "weight_every": 1,
    "weight_init": 100.0,
    # for rules other than the published one
    "weight_floor": 1.0,
    "delta": 20.0,
    "gamma_init": 0.01,
    "rho": 0.01,
    "outer_layers": "all",
    "alpha": 0.5,
    "environments": "random",
    "n_environments": 5,
    "ema_decay": 0.999,
    "ema_start": 20,
    "ema_every": "epoch",
    "replay": 0.0,
}

_CAL: dict[str, Any] = {
    **_PAPER,
    "epochs": 80,
    "patience": 80,
    "learning_rate": 2e-3,
    "weight_decay": 1e-2,
    "schedule": "cosine",
    "dropout_epochs": 1_000_000,
    "warmup_epochs": 5,
    "resample_every": 5,
    "partial_batches": 0,
    "partial_fraction": 0.25,
    "erm_rows": "all",
    "attack_method": "steepest",
    "attack_steps": 2,
    "attack_step_size": 0.1,
    "ball": "l2",
    "epsilon": 0.1,
    "theta_steps": 1,
    "theta_optimizer": "shared",
    "weight_rule": "unrolled",
    "weight_every": 10,
    "weight_init": 1.0,
    "weight_floor": 0.1,
    "delta": 0.1,
    "gamma_init": 0.1,
    "environments": "clusters",
    "n_environments": 8,
    "ema_decay": 0.995,
    "ema_start": 0,
    "ema_every": "step",
}

PRESETS: dict[str, dict[str, Any]] = {
    "cal": _CAL,
    "cal-targeted": {
        **_CAL,
        "learning_rate": 5e-4,
        "warmup_epochs": 0,
        "partial_fraction": 1.0,
        "environments": "random",
        "n_environments": 4,
        "ema_decay": 0.98,
        "replay": 1.0,
    },
    "cal-crystal": {**_CAL, "resample_every": 10, "attack": "structure", "gamma_init": 1e-3},
    "paper": _PAPER,
    "paper-targeted": {
        **_PAPER,
        "batch_size": 128,
        "warmup_epochs": 4,
        "resample_every": 5,
        "partial_batches": 6,
        "attack_steps": 2,
        "attack_step_size": 5e-5,
        "theta_steps": 10,
        "theta_learning_rate": 5e-5,
    },
}
"""``paper`` and ``paper-targeted`` are the published recipe; ``cal`` and ``cal-targeted`` correct
its defects, which ``docs/science/cal.md`` lists; ``cal-crystal`` is ``cal`` with an attack on
crystals, which are kept for 10 epochs because they are costly, at a low transport cost."""


Environments = Literal["random", "clusters", "families", "given"]
Objective = Literal["loss", "uncertainty"]
Ball = Literal["none", "linf", "l2", "weighted-l2"]


class CALConfig(Settings):
    """Settings of CAL; those not given have the values of the preset."""

    preset: str = "cal"
    """Key of `PRESETS`."""
    epochs: int = Field(ge=1, le=1_000_000)
    patience: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    """`epochs`, `patience`, `batch_size`: as in ERM."""
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    schedule: Literal["constant", "cosine"]
    """`learning_rate`, `weight_decay`, `schedule`: of the ERM steps (AdamW); ``cosine`` falls to 0
    along half a cosine over all epochs."""
    dropout_epochs: int = Field(ge=0)
    """Parameter steps use dropout before this epoch; attack, stability loss and mixed derivative
    never do."""
    warmup_epochs: int = Field(ge=0)
    """Epochs of plain training on all rows before the first attack."""
    resample_every: int = Field(ge=1)
    """Epochs between two rankings of all rows by loss."""
    partial_batches: int = Field(ge=0)
    """Partial sampling: number of hardest batches that are used; 0: not by number."""
    partial_fraction: float = Field(gt=0, le=1)
    """The same as a share of the rows; 1: all rows, no partial sampling."""
    erm_rows: Literal["hardest", "all"]
    """Rows of the ERM steps after the warm-up. With ``all`` the CAL steps on the hardest rows are
    spread evenly over the epoch."""
    attack: Literal["features", "composition", "structure"]
    """What moves: standardised features, each on its own, or the composition or the crystal
    structure that they are computed from."""
    objective: Objective
    """What the attack raises, and what partial sampling ranks rows by: the loss, or the standard
    deviation of the members of an ensemble, see `xtalshift.cal.uncertainty`."""
    labels: Literal["own", "mean"]
    """Targets of adversarial rows: those of the rows they came from, or the mean prediction of an
    ensemble where they are."""
    attack_method: Literal["adam", "ascent", "steepest"]
    """Ascent steps: Adam-like; plain gradient; normalised per row to `attack_step_size` in the norm
    of the ball."""
    attack_steps: int = Field(ge=1, le=10_000)
    attack_step_size: float = Field(gt=0)
    attack_betas: tuple[float, float]
    """`attack_steps`, `attack_step_size`, `attack_betas`: number, size (standard deviations of a
    feature; of a fraction in a composition attack; in a structure attack the first step goes to the
    end of the budgets) and moments (``adam`` only) of the steps."""
    ball: Ball
    """Hard budget of a row's displacement, see `xtalshift.cal.budget`."""
    epsilon: float = Field(ge=0)
    """Its radius in standard deviations (without a ball unused); 0: no attack, the control."""
    fraction_budget: float = Field(ge=0, lt=1)
    """Composition attack: largest change of an element's atomic fraction."""
    strain_budget: float = Field(ge=0, le=20)
    """Structure attack: largest Frobenius norm of the strain in per cent; no length changes by
    more."""
    displacement_budget: float = Field(ge=0, le=1)
    """Structure attack: largest displacement of an atom in angstrom, beside the strain."""
    closest: float = Field(ge=0, le=1)
    """Structure attack: no two atoms come nearer than this share of their distance before."""
    charge_neutral: bool
    """Composition and structure attack: keep the charge of the assigned oxidation states."""
    substitutions: int = Field(ge=0)
    neighbours: int = Field(ge=1)
    """`substitutions`, `neighbours`: composition and structure attack: how many elements of a row
    may be replaced, and among how many of the most similar elements the replacement is chosen."""
    theta_steps: int = Field(ge=0, le=1000)
    """Parameter steps on adversarial rows per batch; 0: no CAL steps at all."""
    theta_optimizer: Literal["fresh", "shared"]
    """An Adam that starts anew in every CAL step, or the one of the ERM steps."""
    theta_learning_rate: float = Field(gt=0)
    """Of the fresh Adam."""
    weight_rule: Literal["published", "unrolled", "fixed"]
    """How the covariate weights ``w`` are learned, see `xtalshift.cal.weights`; ``fixed`` is
    Wasserstein distributionally robust optimisation."""
    weight_every: int = Field(ge=1)
    """CAL steps between two updates of ``w``."""
    weight_init: float = Field(gt=0)
    weight_floor: float = Field(gt=0)
    delta: float = Field(ge=0)
    """`weight_init`, `weight_floor`, `delta`: first value, lowest value (``unrolled``) and largest
    change of a weight per update."""
    gamma_init: float = Field(ge=0)
    """Factor of the transport cost; ``published`` replaces it by ``1 / min w`` after an epoch."""
    rho: float
    """Step that the outer gradient assumes for the parameters."""
    outer_layers: Layers
    """Layers through which the outer gradient goes."""
    alpha: float = Field(ge=0)
    """Extra weight of the worst environment, divided by ``sqrt(epoch + 1)``."""
    environments: Environments
    """Groups of rows in the stability loss, see `xtalshift.cal.environments`."""
    n_environments: int = Field(ge=1)
    """How many, for ``random`` and ``clusters``."""
    ema_decay: float = Field(ge=0, lt=1)
    ema_start: int = Field(ge=0)
    ema_every: Literal["epoch", "step"]
    """`ema_decay`, `ema_start`, `ema_every`: average of the parameters, once per ``epoch`` or
    ``step``, from epoch `ema_start` on."""
    replay: float = Field(ge=0)
    """Targeted training only: ERM steps on source rows per CAL step on target labels; 0: as many as
    the ordinary epoch has."""

    @property
    def attacks(self) -> bool:
        """Whether rows may move at all."""
        return self.ball == "none" or self.epsilon > 0

    @property
    def needs_ensemble(self) -> bool:
        """Whether the attack compares the members of an ensemble."""
        return self.objective == "uncertainty" or self.labels == "mean"

    def without_attack(self) -> Self:
        """Return the control: the same recipe and budget of steps, but no row moves."""
        return self.model_copy(update={"ball": "linf", "epsilon": 0.0})

    def on_crystals(self) -> Self:
        """Return the same settings with an attack on crystals.

        What equals the preset ``cal`` becomes that of the preset ``cal-crystal``; of other presets
        only `attack` changes.
        """
        if self.preset != "cal":
            return self.model_copy(update={"attack": "structure"})
        given = self.model_dump(exclude={"preset"}).items()
        changed = {name: value for name, value in given if value != _CAL[name]}
        return self.from_dict({"preset": "cal-crystal", **changed})

    def hard_rows(self, n: int) -> int:
        """Return how many of n rows partial sampling keeps."""
        if self.partial_batches:
            return min(n, self.partial_batches * self.batch_size)
        return math.ceil(self.partial_fraction * n)

    @model_validator(mode="after")
    def _check_ball(self) -> Self:
        if self.weight_rule == "published" and self.ball == "weighted-l2":
            raise ConfigError(
                "ball = 'weighted-l2' needs positive weights at all times; weight_rule = "
                "'published' lets them fall below 0 within an epoch"
            )
        return self

    @model_validator(mode="after")
    def _check_attack(self) -> Self:
        if self.attack != "features" and self.needs_ensemble:
            raise ConfigError(
                f"attack = {self.attack!r} raises the loss of each row, with its own target; leave "
                "objective = 'loss' and labels = 'own', or choose attack = 'features'"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name = values.get("preset", "cal")
        if name not in PRESETS:
            raise ConfigError(
                f"no CAL preset {name!r}{near_miss(str(name), PRESETS)}. "
                f"Known: {', '.join(PRESETS)}"
            )
        return {**PRESETS[name], **values}
