"""Why a model predicts what it predicts for one material, and what another element would change.

What explains the errors of a comparison of methods is in `xtalshift.benchmark.explanation`, and
why a material is in or out of the domain in `xtalshift.domain.reasons`.
"""
