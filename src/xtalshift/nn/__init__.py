"""Neural networks, their losses and their training loops; import names from the modules."""
