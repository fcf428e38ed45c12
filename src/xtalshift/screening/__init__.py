"""Millions of formulas through a saved model: in pieces, by many processes, to be continued."""
