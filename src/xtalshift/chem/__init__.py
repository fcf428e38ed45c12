"""Chemistry without third-party toolkits: elements, formulas and compositions."""

from xtalshift.chem.compositions import Compositions, parse_formulas
from xtalshift.chem.formulas import ParsedFormula, parse_formula

__all__ = ["Compositions", "ParsedFormula", "parse_formula", "parse_formulas"]
