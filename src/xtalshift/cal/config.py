"""Settings of Crystal Adversarial Learning, and its presets.

Source of the preset ``paper``: Li, Miklaucic and Hu, arXiv:2408.09297 (J. Phys. Chem. C 2025, 129,
6372) and the settings of the published runs.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from xtalshift.config import Settings
from xtalshift.errors import ConfigError
from xtalshift.registry import near_miss

__all__ = ["PRESETS", "CALConfig"]

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "epochs": 500,
        "patience": 100,
        "batch_size": 256,
        "learning_rate": 1e-4,
        "dropout_epochs": 1,
        "warmup_epochs": 10,
        "resample_every": 10,
        # 20 hardest batches as configured; the published loop counts one more
        "partial_batches": 21,
        "attack_steps": 10,
        "attack_step_size": 3e-4,
        "attack_betas": (0.9, 0.9),
        "theta_steps": 3,
        "theta_learning_rate": 3e-4,
        "weight_init": 100.0,
        "gamma_init": 0.01,
        "delta": 20.0,
        "rho": 0.01,
        "alpha": 0.5,
        "n_environments": 5,
        "ema_decay": 0.999,
        "ema_start": 20,
    },
}
"""Full sets of values by name; every setting may be overridden beside ``preset``."""


class CALConfig(Settings):
    """Settings of CAL; those not given are the preset's.

    Attributes
    ----------
    preset : str
        Key of `PRESETS`.
    epochs, patience, batch_size, learning_rate
        Of the ERM steps (plain Adam); an epoch after the warm-up sees the hardest batches only.
    dropout_epochs : int
        Dropout is on before this epoch and off from it on (the published recipe: 1).
    warmup_epochs : int
        Epochs of plain training on all rows before the first attack.
    resample_every : int
        Epochs between two rankings of all rows by loss.
    partial_batches : int
        Number of hardest batches that an epoch uses.
    attack_steps, attack_step_size, attack_betas
        Number, size (standard deviations of a feature) and Adam-like moments of the ascent steps.
    theta_steps, theta_learning_rate
        Parameter steps on adversarial rows per batch, with an Adam that starts fresh each time.
    weight_init, gamma_init
        Covariate weights ``w`` and penalty factor ``gamma`` at the start.
    delta : float
        Largest change of a weight per batch.
    rho : float
        Step that the outer gradient assumes for the parameters.
    alpha : float
        Extra weight of the worst environment, divided by ``sqrt(epoch + 1)``.
    n_environments : int
        Random groups of a batch in the stability loss.
    ema_decay, ema_start
        The average is updated once per epoch, from epoch `ema_start` on.
    """

    preset: str = "paper"
    epochs: int = Field(ge=1)
    patience: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    dropout_epochs: int = Field(ge=0)
    warmup_epochs: int = Field(ge=0)
    resample_every: int = Field(ge=1)
    partial_batches: int = Field(ge=1)
    attack_steps: int = Field(ge=1)
    attack_step_size: float = Field(ge=0)
    attack_betas: tuple[float, float]
    theta_steps: int = Field(ge=1)
    theta_learning_rate: float = Field(ge=0)
    weight_init: float = Field(gt=0)
    gamma_init: float = Field(ge=0)
    delta: float = Field(ge=0)
    rho: float
    alpha: float = Field(ge=0)
    n_environments: int = Field(ge=1)
    ema_decay: float = Field(ge=0, lt=1)
    ema_start: int = Field(ge=0)

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        name = values.get("preset", "paper")
        if name not in PRESETS:
            raise ConfigError(
                f"no CAL preset {name!r}{near_miss(str(name), PRESETS)}; "
                f"known: {', '.join(PRESETS)}"
            )
        return {**PRESETS[name], **values}
