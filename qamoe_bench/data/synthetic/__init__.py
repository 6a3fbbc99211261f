"""The embedded synthetic data set, whose distribution is known, and its Bayes-optimal predictor.

`synthetic.py` defines the distribution and draws samples of it; `oracle.py` computes the best possible predictions.
"""
