"""The Python interface, for notebooks and scripts: the functions that `qamoe_bench` exports.

Read `models` first: `load_model`, and `evaluate`, which returns the `Evaluation` of `evaluation`. `data` loads data
sets and protocols and applies conditions. `results` analyses, compares and plots evaluations and stored results, and
`sharing` merges stores; neither loads torch.
"""
