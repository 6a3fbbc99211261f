"""The embedded synthetic data sets, whose distributions are known, and their Bayes-optimal predictors.

`law.py` defines what their distributions share and draws samples; `synthetic.py` and `emotion.py` define one law each,
of sentiment and of emotions. `oracle.py` computes the posterior of the label, `decisions.py` the best decisions given
it.
"""
