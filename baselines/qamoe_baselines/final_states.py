"""The final state of an LSTM over frames of several lengths.

Dimension legend: B samples, T frames, D feature width, W width.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from qamoe_baselines.recurrence import recurrent_states


class FinalStates(nn.Module):
    """An LSTM that is read where each sample ends, in one or both directions (Hochreiter & Schmidhuber 1997).

    Each direction is an LSTM of its own over padded frames, which takes a third of the time of packed sequences on a
    CPU. The backward one runs over the valid frames in reverse order, so that padding comes last for both.
    """

    def __init__(self, width: int, hidden: int, *, bidirectional: bool = False) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        self.width = directions * hidden
        self.rnn = nn.ModuleList(nn.LSTM(width, hidden, batch_first=True) for _ in range(directions))

    def forward(self, x: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B W"]:
        """The state after the last valid frame, then that of the other direction; W = the width."""
        return self.all_states(x, lengths)[1]

    def all_states(
        self, x: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"]
    ) -> tuple[Float[Tensor, "B T W"], Float[Tensor, "B W"]]:
        """The states after every valid frame, and the final ones; a sample without a frame has one of zeros."""
        time = torch.arange(x.shape[1], device=x.device)
        end = (lengths - 1).clamp(min=0)[:, None]  # (B, 1)
        # Padding keeps its place, and valid frames change theirs with the one as far from the other end.
        mirrored = torch.where(time <= end, end - time, time)[..., None]  # (B, T, 1)
        states = []
        final = []
        for direction, rnn in enumerate(self.rnn):
            run = x.gather(1, mirrored.expand_as(x)) if direction else x
            after = recurrent_states(rnn, run)  # (B, T, hidden)
            final.append(after.gather(1, end[..., None].expand(-1, -1, after.shape[2]))[:, 0])
            states.append(after.gather(1, mirrored.expand_as(after)) if direction else after)
        return torch.cat(states, dim=2), torch.cat(final, dim=1)
