"""Training objectives besides the plain mean loss: alignment, worst cases, mixtures, joint."""
