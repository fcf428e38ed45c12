"""Train CrabNet on a table and predict another one, with its own settings.

    ENV/bin/python benchmarks/peers_crabnet.py train.csv val.csv test.csv OUT.csv SEED EPOCHS

`peers.py` runs it in an environment of its own. The tables have the columns `formula` and `target`.
"""

from __future__ import annotations

import sys
import warnings

import pandas as pd
import torch
from crabnet.crabnet_ import CrabNet


def main() -> None:
    """Write the predictions of the test table."""
    *tables, out, seed, epochs = sys.argv[1:]
    # NaN is sodium nitride here, and no missing value
    train, val, test = (pd.read_csv(path, keep_default_na=False) for path in tables)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model = CrabNet(
        random_state=int(seed), epochs=int(epochs), force_cpu=True, verbose=False, save=False,
        losscurve=False, learningcurve=False,
    )  # fmt: skip
    model.fit(train, val)
    test.assign(prediction=model.predict(test)).to_csv(out, index=False)


if __name__ == "__main__":
    main()
