"""Neural networks and plain training."""

from xtalshift.nn.batches import Rows, TrainingData, iterate_batches
from xtalshift.nn.ema import Parameters, copy_parameters, update_ema
from xtalshift.nn.irnet import ARCHITECTURES, IRNet, resolve_architecture
from xtalshift.nn.losses import mean_loss, row_losses
from xtalshift.nn.train import ERMConfig, Selection, TrainResult, predict_rows, train_erm

__all__ = [
    "ARCHITECTURES",
    "ERMConfig",
    "IRNet",
    "Parameters",
    "Rows",
    "Selection",
    "TrainResult",
    "TrainingData",
    "copy_parameters",
    "iterate_batches",
    "mean_loss",
    "predict_rows",
    "resolve_architecture",
    "row_losses",
    "train_erm",
    "update_ema",
]
