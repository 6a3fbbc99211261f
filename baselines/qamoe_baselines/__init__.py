"""Re-implemented baselines and controls, registered through entry points like any third-party model.

`mean`, `text_only` and `late_fusion` are our own controls; `cmib`, `mm_boosting` and `sam_lml` re-implement published
methods. Each module documents its formulas, and marks them as taken from the paper or its code, inferred, or departing
from it. They import only what a third-party model may: the contract, `config` and the shared layers of `nn`.
"""
