"""Re-implemented baselines and controls, plugged in through entry points."""
