import pytest

from benchmark_toys import make_shared
from xtalshift.benchmark.spec import BenchmarkSpec


@pytest.fixture
def shared():
    return make_shared()


@pytest.fixture
def spec():
    def build(methods=("dummy", "ridge", "target-ridge"), **changes):
        values = {
            "data": {"toy": {"dataset": "toy.csv"}},
            "splits": {"shift": {"scheme": "prior"}},
            "methods": list(methods),
            "budgets": [10, 20],
            "seeds": 2,
            "network": {"architecture": [8]},
            "erm": {"epochs": 2},
            **changes,
        }
        return BenchmarkSpec.from_dict(values).check_methods()

    return build
