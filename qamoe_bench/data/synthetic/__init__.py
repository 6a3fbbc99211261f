"""The embedded data set of known law, and its Bayes-optimal predictor."""
