"""Adapters: models that were written for other code, and functions, behind the interface of the contract.

`building` makes a model from a class or a function, whatever its arguments are called (`names` knows what they usually
mean), and `calling` tries its forward pass on a few samples to see how it is called and where its prediction is
(`returned`). The result is an `AdaptedModule` (`module`), which takes a `Batch` and returns an `Output`. What cannot be
detected is declared in the model's own file (`declaration`). `function` adapts a function of NumPy arrays (`arrays`),
`mmsa` the models of the MMSA package.
"""
