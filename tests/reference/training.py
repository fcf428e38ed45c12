"""Whole trainings in one call, as the regressors run them."""

from xtalshift.cal.attack import attack
from xtalshift.cal.loop import CALTraining
from xtalshift.nn.erm import ERMTraining
from xtalshift.nn.training import run_training


def train(training, validation, **options):
    config = training.config
    options = {"name": training.name, **options}
    return run_training(
        training, validation, epochs=config.epochs, patience=config.patience, **options
    )


def train_erm(model, data, config, generator, *, sample=None, **options):
    training = ERMTraining(model, data.train, config, generator, sample=sample)
    return train(training, data.validation, **options)


def train_cal(model, data, config, generator, *, sample=None, attacker=attack, **options):
    training = CALTraining(model, data, config, generator, sample=sample, attacker=attacker)
    return train(training, data.validation, **options)
