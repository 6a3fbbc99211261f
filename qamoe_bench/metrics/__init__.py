"""Metrics of multimodal sentiment and emotion analysis.

Every metric is a function of sums over samples (`definitions`, read it first), so that it can be resampled by a matrix
product; `class_definitions` has those of decisions between classes, `probability_definitions` those of their
probabilities. `catalogue` lists the metrics with their ranges, units and directions; `dialects` holds the named sets of
definitions that publications use for them, each for one kind of task. `dialects.scores` computes all metrics of a
dialect from predictions.
"""
