"""Evaluation: a model through every condition of a protocol, to columns of predictions.

`sweep` runs all conditions and draws, `trial_run` one of them (`trial`), batch by batch. `predictor` runs the model on
whole batches or, for two-stage models, on encodings from `encoding_cache`. `test_set` makes the corrupted samples,
`columns` the arrays that a store keeps, and `plain_predictions` predictions alone. `quality_audit` predicts with the
quality scores of `interventions` in place of a model's own; `permutation_test` keeps the metrics under many
permutations.
"""
