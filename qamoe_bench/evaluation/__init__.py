"""Evaluation: a model through every condition of a protocol, to columns of predictions.

`sweep` runs all conditions and draws, `trial` one of them, batch by batch. `predictor` runs the model on whole batches
or, for two-stage models, on encodings from `encoding_cache`. `test_set` makes the corrupted samples, `interventions`
the quality scores that replace a model's own, `columns` the arrays that a store keeps, and `plain_predictions`
predictions alone.
"""
