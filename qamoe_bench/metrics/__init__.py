"""Metrics of multimodal sentiment analysis.

Every metric is a function of sums over samples (`definitions`, read it first), so that it can be resampled by a matrix
product. `catalogue` lists the metrics with their ranges, units and directions; `dialects` holds the named sets of
definitions that publications use for them. `dialects.scores` computes all metrics of a dialect from predictions.
"""
