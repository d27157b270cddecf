"""Functions built of operations, by subject; each module is imported on first need."""
