"""Training: from a builder to a checkpoint, with one loop for every model.

`building` makes a fresh model, `config` has every choice of the loop, `exposure` and `batches` the corrupted samples
that a model is trained and validated on, `coverage` what of a protocol it has not seen then, `optimiser` the optimiser
with its schedule, `phases` the passes of an epoch, `loop` the epochs, and `checkpoint` the stored weights.
"""
