"""Statistics of stored predictions: resampling, intervals, multiple testing, rank correlation, calibration.

Functions take and return plain arrays and know nothing of stores or models. Read `intervals` first: it explains how
variance over seeds and over test samples is combined, and every comparison in `qamoe_bench.analysis` rests on it.
"""
