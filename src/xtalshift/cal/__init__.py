"""Crystal Adversarial Learning (arXiv:2408.09297): pure step functions and the training loop."""

from xtalshift.cal.attack import Attacked, attack
from xtalshift.cal.budget import ball_norm, project
from xtalshift.cal.config import PRESETS, CALConfig
from xtalshift.cal.loop import CALTraining, train_cal
from xtalshift.cal.sampling import select_hardest
from xtalshift.cal.state import CALState, init
from xtalshift.cal.step import StepReport, step
from xtalshift.cal.target import AdaptConfig, adapt_network
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
    "AdaptConfig",
    "Attacked",
    "CALConfig",
    "CALState",
    "CALTraining",
    "StepReport",
    "adapt_network",
    "attack",
    "ball_norm",
    "close_epoch",
    "init",
    "mixed_derivative",
    "project",
    "select_hardest",
    "stability_gradient",
    "stability_loss",
    "step",
    "train_cal",
    "update_weights",
    "weight_gradient",
]
