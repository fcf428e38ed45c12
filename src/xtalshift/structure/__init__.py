"""Crystal structures: a batch of them, files, symmetry, drawings."""

from xtalshift.structure.drawing import draw_crystal
from xtalshift.structure.reading import ReadStructures, read_structures
from xtalshift.structure.structure_files import FileRows, read_structure_files
from xtalshift.structure.structures import Structures

__all__ = [
    "FileRows",
    "ReadStructures",
    "Structures",
    "draw_crystal",
    "read_structure_files",
    "read_structures",
]
