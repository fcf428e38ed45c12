"""The applicability domain: how unlike the training materials a material is, and why."""
