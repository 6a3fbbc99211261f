"""The cost of models: parameters, multiply-adds, time and memory.

`counter` runs a forward pass on the CPU and counts the multiply-adds of every operation (`operations`), by submodule;
`stages` sums them by stage. `measure` times passes and records their peak memory. `cost` does both for several models
in one `setting` (the data of a preset; `paper` is that of the QA-MoE paper), and `tables` prints the result.
"""
