"""The store: finished cells in files that are written whole or not at all."""
