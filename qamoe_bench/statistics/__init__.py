"""Statistics of stored predictions: resampling, intervals, families of tests, aggregates, calibration."""
