"""Neural networks and plain training."""

from xtalshift.nn.attention import AttentionNet
from xtalshift.nn.batches import Rows, TrainingData, iterate_batches
from xtalshift.nn.checkpoint import Checkpoint
from xtalshift.nn.dropout_ensemble import thin_network
from xtalshift.nn.ema import Parameters, copy_parameters, update_ema
from xtalshift.nn.heteroscedastic import GaussianIRNet, HeteroscedasticTraining, beta_nll
from xtalshift.nn.irnet import ARCHITECTURES, IRNet, resolve_architecture, select_parameters
from xtalshift.nn.losses import mean_loss, row_losses, weighted_mean
from xtalshift.nn.objectives.alignment import AlignedConfig, AlignedTraining, coral_loss, mmd_loss
from xtalshift.nn.objectives.environments import GroupWeights, environment_risks, vrex_loss
from xtalshift.nn.objectives.mixup import draw_partners, mix_rows
from xtalshift.nn.objectives.robust import RobustConfig, RobustTraining
from xtalshift.nn.objectives.worst_case import chi2_weights, cvar_weights, kl_weights
from xtalshift.nn.train import ERMConfig, ERMTraining, erm_step, train_erm
from xtalshift.nn.training import (
    LossLog,
    Selection,
    Training,
    TrainResult,
    draw_order,
    predict_rows,
    run_training,
)

__all__ = [
    "ARCHITECTURES",
    "AlignedConfig",
    "AlignedTraining",
    "AttentionNet",
    "Checkpoint",
    "ERMConfig",
    "ERMTraining",
    "GaussianIRNet",
    "GroupWeights",
    "HeteroscedasticTraining",
    "IRNet",
    "LossLog",
    "Parameters",
    "RobustConfig",
    "RobustTraining",
    "Rows",
    "Selection",
    "TrainResult",
    "Training",
    "TrainingData",
    "beta_nll",
    "chi2_weights",
    "copy_parameters",
    "coral_loss",
    "cvar_weights",
    "draw_order",
    "draw_partners",
    "environment_risks",
    "erm_step",
    "iterate_batches",
    "kl_weights",
    "mean_loss",
    "mix_rows",
    "mmd_loss",
    "predict_rows",
    "resolve_architecture",
    "row_losses",
    "run_training",
    "select_parameters",
    "thin_network",
    "train_erm",
    "update_ema",
    "vrex_loss",
    "weighted_mean",
]
