"""The reference QA-MoE, our variant QA-MoE-plus, and the definitions of their quality scores.

Nothing imports this room: its models register through entry points, like third-party models, and may import only what a
third-party model may (the contract, `config` and `nn`). Each module documents its formulas, and marks them as taken
from the paper, inferred, or departing from it.
"""
