"""The engine that runs methods on splits and keeps what they did."""

from xtalshift.benchmark.prepare import Fit, Prepared, TestSet, plan_fits, prepare
from xtalshift.benchmark.run import run
from xtalshift.benchmark.spec import DataConfig, RunConfig, SplitConfig

__all__ = [
    "DataConfig",
    "Fit",
    "Prepared",
    "RunConfig",
    "SplitConfig",
    "TestSet",
    "plan_fits",
    "prepare",
    "run",
]
