"""A module that was written for other code, as a model of the contract.

Dimension legend: B samples.
"""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from qamoe_bench.adapters.calling import Call
from qamoe_bench.adapters.probabilities import output_of_probabilities
from qamoe_bench.adapters.returned import described, value_at
from qamoe_bench.contract import Batch, Output, TrainingBatch, label_indicators
from qamoe_bench.errors import RunFailed
from qamoe_bench.nn.answers import class_output


class AdaptedModule(nn.Module):
    """A module that takes a `Batch` and returns an `Output`, around one that does not.

    Its state has the names of the inner module's, so that checkpoints of either fit the other. Prefixes of submodules
    (stages of a model's card) start with `module.`.

    Attributes:
        module: The inner module.
        call: How its forward pass is called.
    """

    def __init__(self, module: nn.Module, call: Call) -> None:
        super().__init__()
        self.module = module
        self.call = call

    def forward(self, batch: Batch) -> Output:
        """The prediction of the inner module."""
        return self.as_output(self.call(self.module, batch), batch.size)

    def as_output(self, returned: object, size: int) -> Output:
        """The `Output` for what the inner module returned.

        Raises:
            RunFailed: If it does not hold as many numbers per sample where the tried samples had them.
        """
        if isinstance(returned, Output):
            return returned
        task = self.call.task
        prediction = value_at(returned, self.call.place)
        if not isinstance(prediction, Tensor) or prediction.numel() != size * task.outputs:
            numbers = "one number" if task.is_regression else f"{task.outputs} scores"
            raise RunFailed(
                f"the model returned {described(returned)} for a batch of {size}: expected {numbers} per sample, as "
                "for the batch that was tried; return the same for batches of every size"
            )
        if task.is_regression:
            return Output(prediction.reshape(size))  # also of (B, 1), and of () for a single sample
        values = prediction.reshape(size, task.outputs)
        if self.call.are_probabilities:
            return output_of_probabilities(values, task)
        return class_output(values, task)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The state of the inner module, under its own names."""
        state: dict[str, Any] = self.module.state_dict(*args, **kwargs)
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load a state of the inner module."""
        return self.module.load_state_dict(state_dict, *args, **kwargs)

    @property
    def config(self) -> object:
        """The configuration of the inner module; None if it has none."""
        return getattr(self.module, "config", None)

    def extra_repr(self) -> str:
        """How the inner module is called."""
        return self.call.sentence


class AdaptedWithLoss(AdaptedModule):
    """The same around a module with an objective of its own, `loss(returned, target)` or a criterion of torch."""

    def forward(self, batch: Batch) -> Output:
        """The prediction of the inner module; what it returned is kept for its loss."""
        returned = self.call(self.module, batch)
        # A plain attribute and not part of the output, because it need not consist of tensors.
        self._returned = returned if self.training else None
        return self.as_output(returned, batch.size)

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The inner module's objective for its last forward pass.

        Its method gets what the forward pass returned, a criterion of torch the prediction; both get labels in the
        shape of the prediction, since (B,) against (B, 1) would broadcast; of classes their index (B,), as
        cross-entropy takes them, and of several labels 0 or 1 for each, (B, C).
        """
        returned = self._returned
        if isinstance(returned, Output):
            return self.module.loss(returned, batch)  # type: ignore[no-any-return, operator]
        prediction = value_at(returned, self.call.place)
        assert isinstance(prediction, Tensor)
        target = self._target(batch, prediction)
        is_criterion = isinstance(self.module.loss, nn.Module)
        value: Tensor = self.module.loss(prediction if is_criterion else returned, target)  # type: ignore[operator]
        return value

    def _target(self, batch: TrainingBatch, prediction: Tensor) -> Tensor:
        """Labels as losses of torch take them: in the shape of the prediction, or the index of each sample's class."""
        task = self.call.task
        if task.is_regression:
            return batch.target.reshape(prediction.shape)
        return batch.target.long() if task.kind == "classes" else label_indicators(batch.target, task).float()
