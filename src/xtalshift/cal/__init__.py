"""Crystal Adversarial Learning (arXiv:2408.09297): pure step functions and the training loop."""

from xtalshift.cal.attack import attack
from xtalshift.cal.config import PRESETS, CALConfig
from xtalshift.cal.loop import train_cal
from xtalshift.cal.sampling import select_hardest
from xtalshift.cal.state import CALState, init
from xtalshift.cal.step import StepReport, step
from xtalshift.cal.weights import (
    close_epoch,
    mixed_derivative,
    stability_gradient,
    stability_loss,
    update_weights,
    weight_gradient,
)

__all__ = [
    "PRESETS",
    "CALConfig",
    "CALState",
    "StepReport",
    "attack",
    "close_epoch",
    "init",
    "mixed_derivative",
    "select_hardest",
    "stability_gradient",
    "stability_loss",
    "step",
    "train_cal",
    "update_weights",
    "weight_gradient",
]
