"""Learn a property from formulas, predict it elsewhere, and keep the model."""

from pathlib import Path
from tempfile import mkdtemp

from xtalshift import FormulaRegressor, load_model, save_model

formulas = ["NaCl", "KCl", "NaBr", "KBr", "LiF", "NaF", "KF", "LiCl", "LiBr", "RbCl", "MgO", "CaO"]
gaps = [8.5, 8.4, 7.1, 7.3, 13.6, 11.5, 10.8, 9.4, 7.9, 8.2, 7.8, 6.9]  # eV

model = FormulaRegressor("ridge", random_state=0).fit(formulas, gaps)
folder = save_model(model, Path(mkdtemp()) / "model")
result = load_model(folder).predict_rows(["RbBr", "SrO", "Xy2"])
for name, value, reason in zip(
    ["RbBr", "SrO", "Xy2"], result.prediction, result.reason, strict=True
):
    print(f"{name}: {reason or f'{value:.1f} eV'}")
