"""What to measure next: scores of candidates, rules by name, batches."""
