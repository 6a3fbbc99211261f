"""Figures for publication, drawn from stored results; nothing here needs torch."""
