"""What a user says to have suggested, as the options of ``xtalshift suggest``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from xtalshift.acquisition.acquisition_rules import RULES, Aim
from xtalshift.config import Settings
from xtalshift.errors import ConfigError, UsageError
from xtalshift.jobs.candidates import Request
from xtalshift.jobs.suggest_several import SeveralRequest
from xtalshift.metrics.pareto import read_goals
from xtalshift.model import FittedClassifier, FittedModel
from xtalshift.model.class_predictions import place_of
from xtalshift.model.several import FittedModels
from xtalshift.model.several_folder import holds_several, saved_targets
from xtalshift.uncertainty.settings import LEVEL

_USES = {
    "prediction": ("--toward",),
    "expected-improvement": ("--toward",),
    "ucb": ("--toward",),
    "target": ("--value",),
    "probability": ("--threshold", "--toward", "--between"),
    "class-probability": ("--class",),
    "entropy": (),
    "margin": (),
    "uncertainty": (),
    "random": (),
    "diversity": (),
}
"""Options of the aim that each rule uses; rules of extensions may use any."""


class SuggestOptions(Settings):
    """Which candidates are wanted, and how many."""

    n: int = Field(default=50, ge=1)
    """Number of suggestions."""
    rule: str | None = None
    """To find values: prediction (default with `toward`), expected-improvement, ucb, target (with
    `value`) or probability (with `threshold` or `between`). To improve the model: uncertainty
    (default), diversity or random. Of models of classes: class-probability (with `class`), entropy
    (default), margin, diversity or random."""
    toward: str | None = None
    """Good values are high or low."""
    value: float | None = None
    """The wanted value."""
    threshold: float | None = None
    """Values of at least this are good (at most this with `toward` low)."""
    between: str | None = None
    """Values between two numbers are good: ``1.1,1.6``."""
    of_class: str | None = Field(default=None, alias="class")
    """Of a model of classes: the wanted class."""
    goal: str | None = None
    """Models of several targets: max, min or - (does not matter) for each, in their order:
    ``max,min,-``."""
    reference: str | None = None
    """With `goal`: the value of each target that counts that a material must reach: ``50,3.2``."""
    in_domain: bool = False
    """Only candidates in the domain of the model."""
    diversity: float | None = None
    """How much the suggestions should differ from each other: 0, 1 or more."""
    cost_col: str | None = None
    """Column with the cost of each measurement."""
    budget: float | None = None
    """Largest total cost."""
    level: float = Field(default=LEVEL, gt=0, lt=1)
    """Share of the true values that intervals should contain."""
    seed: int = Field(default=0, ge=0)
    """Seed of rules that draw at random."""

    def check(self, model: Path) -> None:
        """Refuse what does not fit together, or not the number of targets of a saved model.

        Parameters
        ----------
        model : Path
            Folder of a saved model, which is not loaded.

        Raises
        ------
        ConfigError, UsageError
            The message names the options of the command.
        """
        if self.goal is not None or self.reference is not None or holds_several(model):
            self._check_several(model)
            return
        rule = self._rule()
        given = {name for name, value in self._aims().items() if value is not None}
        _check_aim(rule, given)
        self._aim()
        if self.budget is not None and self.cost_col is None:
            raise ConfigError(
                "--budget needs --cost-col, the column with the cost of each candidate"
            )

    def request(self, model: FittedModel | FittedClassifier) -> Request:
        """Return what to ask of a model of one target, after `check`."""
        aim = self._aim()
        if self.of_class is not None:
            if not isinstance(model, FittedClassifier):
                raise ConfigError("--class is for models of classes, and this one predicts numbers")
            aim = replace(aim, of_class=place_of(self.of_class, model.classes))
        return Request(
            self.n, self._rule(), aim, self.cost_col, self.budget, self.diversity,
            self.in_domain, self.seed,
        )  # fmt: skip

    def several_request(self, models: FittedModels) -> SeveralRequest:
        """Return what to ask of models of several targets, after `check`."""
        assert self.goal is not None
        goals = read_goals(self.goal, models.targets)
        return SeveralRequest(self.n, goals, self._reference(), self.in_domain, self.seed)

    def _rule(self) -> str:
        if self.rule is not None:
            return self.rule
        if self.of_class is not None:
            return "class-probability"
        if self.threshold is not None or self.between is not None:
            return "probability"
        if self.value is not None:
            return "target"
        return "uncertainty" if self.toward is None else "prediction"

    def _aims(self) -> dict[str, object]:
        return {
            "--toward": self.toward,
            "--value": self.value,
            "--threshold": self.threshold,
            "--between": self.between,
            "--class": self.of_class,
        }

    def _aim(self) -> Aim:
        if self.toward not in {None, "high", "low"}:
            raise UsageError(f"--toward {self.toward}: expected high or low")
        window = None
        if self.between is not None:
            said = f"--between {self.between}: expected"
            try:
                low, high = (float(text) for text in self.between.split(","))
            except ValueError:
                raise UsageError(f"{said} two numbers such as 1.1,1.6") from None
            if not low < high:
                raise UsageError(f"{said} the lower value first")
            window = (low, high)
        return Aim(
            "low" if self.toward == "low" else "high",
            None,
            self.value,
            self.threshold,
            window,
            self.level,
        )

    def _check_several(self, model: Path) -> None:
        if not holds_several(model):
            raise ConfigError(
                f"{model} is a model of one target: leave out --goal and --reference, and "
                "give --toward"
            )
        of_one: Mapping[str, object] = {
            **self._aims(),
            "--rule": self.rule,
            "--diversity": self.diversity,
            "--cost-col": self.cost_col,
            "--budget": self.budget,
        }
        unused = [name for name, value in of_one.items() if value is not None]
        if unused:
            raise ConfigError(
                f"{model} holds models of several targets, and {', '.join(unused)} is for "
                "one: name the folder of that one in it, or give --goal"
            )
        targets = saved_targets(model)
        if self.goal is None:
            raise ConfigError(
                f"{model} holds models of {', '.join(targets)}: say which values are good, "
                "such as --goal max,min, with - for a target that does not matter"
            )
        read_goals(self.goal, targets)
        self._reference()

    def _reference(self) -> tuple[float, ...] | None:
        if self.reference is None:
            return None
        try:
            return tuple(float(part) for part in self.reference.split(","))
        except ValueError:
            raise UsageError(
                f"--reference {self.reference}: expected numbers such as 50,3.2"
            ) from None


def _check_aim(rule: str, given: set[str]) -> None:
    """Refuse options that the rule does not use, and require those that it needs."""
    RULES[rule]  # the error for an unknown name lists all rules
    unused = sorted(given - set(_USES.get(rule, given)))
    if unused:
        fit = [name for name, used in _USES.items() if set(unused) <= set(used)]
        raise ConfigError(
            f"--rule {rule} does not use {' and '.join(unused)}; leave it out"
            + (f", or use --rule {' or '.join(fit)}" if fit else "")
        )
    if rule == "target" and "--value" not in given:
        raise ConfigError("--rule target needs --value X, the wanted value")
    if rule == "probability" and len(given - {"--toward"}) != 1:
        raise ConfigError(
            "--rule probability needs the good values: either --threshold X or --between A,B"
        )
    if {"--between", "--toward"} <= given:
        raise ConfigError("--between has two bounds, so --toward has no meaning; leave it out")
