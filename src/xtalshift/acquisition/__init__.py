"""What to measure next: acquisition functions, rules by name, selection of batches."""
