"""Building blocks that models share, built-in and third-party alike.

`frames` turns padded frames into vectors, `encoder` is the shared encoder of one modality, and `language` trains a
language model where text is token ids. `attention`, `transformer` and `experts` are layers; `two_stage` has the base
classes of models that encode each modality by itself. Models import nothing of the benchmark but this room, the
contract, `config`, `errors` and `vocabulary`.
"""
