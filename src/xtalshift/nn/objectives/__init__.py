"""Training objectives beside plain training: alignment, robust, worst case, mixtures."""
