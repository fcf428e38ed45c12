"""Neural networks and plain training."""

from xtalshift.nn.batches import Rows, TrainingData, iterate_batches
from xtalshift.nn.checkpoint import Checkpoint
from xtalshift.nn.ema import Parameters, copy_parameters, update_ema
from xtalshift.nn.irnet import ARCHITECTURES, IRNet, resolve_architecture, select_parameters
from xtalshift.nn.losses import mean_loss, row_losses, weighted_mean
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
    "Checkpoint",
    "ERMConfig",
    "ERMTraining",
    "IRNet",
    "LossLog",
    "Parameters",
    "Rows",
    "Selection",
    "TrainResult",
    "Training",
    "TrainingData",
    "copy_parameters",
    "draw_order",
    "erm_step",
    "iterate_batches",
    "mean_loss",
    "predict_rows",
    "resolve_architecture",
    "row_losses",
    "run_training",
    "select_parameters",
    "train_erm",
    "update_ema",
    "weighted_mean",
]
