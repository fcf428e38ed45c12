"""Crystal structures: files, symmetry."""
