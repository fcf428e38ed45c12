"""Methods that were behind their control in every benchmark; by name they work as all others do."""
