"""Learn a property from formulas, predict it elsewhere, and keep the model."""

from pathlib import Path
from tempfile import mkdtemp

import xtalshift as xs

formulas = ["NaCl", "KCl", "NaBr", "KBr", "LiF", "NaF", "KF", "LiCl", "LiBr", "RbCl", "MgO", "CaO"]
gaps = [8.5, 8.4, 7.1, 7.3, 13.6, 11.5, 10.8, 9.4, 7.9, 8.2, 7.8, 6.9]

model = xs.fit(xs.Dataset.of(formulas, gaps, target_name="gap", unit="eV"), "ridge", seed=4)
folder = model.save(Path(mkdtemp()) / "model")
result = xs.load_model(folder).predict(["RbBr", "SrO", "Xy2"])
for name, value, reason in zip(result.formula, result.prediction, result.reason, strict=True):
    print(f"{name}: {reason or f'{value:.1f} eV'}")
