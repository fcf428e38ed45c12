"""How far to trust a prediction: intervals, domain of applicability, what to measure next."""
