"""The benchmark: data x features x splits x methods x seeds x label budgets, on any machines."""
