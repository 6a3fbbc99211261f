"""One training loop for every model, from a builder to a checkpoint."""
