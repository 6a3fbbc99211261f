"""The fusions of C-MIB: from one vector per modality to one vector, for any number of modalities.

    concat    ReLU(W [z_1; …; z_M] + b), the default of the paper
    sum       Σ_m z_m
    product   ⊙_m z_m, then three layers tanh(Wx + b)
    tensor    outer product of all [1; z_m], dropout ½, then three layers tanh(Wx + b)     (TFN, Zadeh et al. 2017)
    low-rank  Σ_r w_r ⊙_m F_{m,r} [1; z_m] + b, rank 5                                       (LMF, Liu et al. 2018)
    graph     see `GraphFusion`                                                  (ARGF, Mai, Hu, Xing, AAAI 2020)
    poe       product of the Gaussians p(z_m|x_m) with N(0, I), see `product_of_experts`     (Wu, Goodman 2018)

From the authors' code: all but `poe`, which is in the paper only. Inferred: `graph` with fewer than three modalities,
the prior in `poe` and that its result is sampled like any code, and the initialisation of `low-rank` (with the authors'
initialisation the product of three factors is close to 0).
Departs: the authors' product overwrites audio ⊙ vision with vision ⊙ text, and so loses audio; here it includes all.

Dimension legend: B samples, M modalities, W width, R rank.
"""

from itertools import combinations
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qamoe_baselines.cmib_bottleneck import Gaussian
from qamoe_bench.nn.dropout import Dropout

Fusion = Literal["concat", "sum", "product", "tensor", "low-rank", "graph", "poe"]
RANK = 5  # of the low-rank fusion; code
GRAPH_HIDDEN = 64  # hidden units of the graph fusion's perceptrons; code


def tanh_layers(width_in: int, width: int) -> nn.Sequential:
    """Three layers tanh(Wx + b)."""
    layers: list[nn.Module] = []
    for inputs in (width_in, width, width):
        layers += [nn.Linear(inputs, width), nn.Tanh()]
    return nn.Sequential(*layers)


def with_one(z: Float[Tensor, "B M W"]) -> Float[Tensor, "B M V"]:
    """[1; z_m], V = W + 1, so that products of several z_m contain each z_m alone as well."""
    return torch.cat([torch.ones_like(z[..., :1]), z], dim=-1)


class ConcatFusion(nn.Module):
    """Concatenation and one layer."""

    def __init__(self, modalities: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(modalities * width, width)

    def forward(self, z: Float[Tensor, "B M W"]) -> Float[Tensor, "B W"]:
        """The fused vector, never negative."""
        return torch.relu(self.linear(z.flatten(1)))


class SumFusion(nn.Module):
    """The sum, without parameters."""

    def forward(self, z: Float[Tensor, "B M W"]) -> Float[Tensor, "B W"]:
        """The fused vector, with equal weights of all modalities."""
        return z.sum(1)


class ProductFusion(nn.Module):
    """The product of each dimension over the modalities, and three layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = tanh_layers(width, width)

    def forward(self, z: Float[Tensor, "B M W"]) -> Float[Tensor, "B W"]:
        """Within (−1, 1)."""
        fused: Tensor = self.layers(z.prod(1))
        return fused


class TensorFusion(nn.Module):
    """The (W + 1)^M products of up to M entries of different modalities, and three layers."""

    def __init__(self, modalities: int, width: int) -> None:
        super().__init__()
        self.dropout = Dropout(0.5)
        self.layers = tanh_layers((width + 1) ** modalities, width)

    def forward(self, z: Float[Tensor, "B M W"]) -> Float[Tensor, "B W"]:
        """Within (−1, 1)."""
        first, *others = with_one(z).unbind(1)  # (B, W + 1) each
        outer = first
        for other in others:
            outer = torch.einsum("bi,bj->bij", outer, other).flatten(1)  # (B, (W + 1)^m) for m modalities
        fused: Tensor = self.layers(self.dropout(outer))
        return fused


class LowRankFusion(nn.Module):
    """The tensor fusion's linear map as a weighted sum of R products of maps of single modalities."""

    def __init__(self, modalities: int, width: int) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.empty(modalities, RANK, width + 1, width))
        self.weights = nn.Parameter(torch.empty(RANK))
        self.bias = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.factors, std=(width + 1) ** -0.5)
        nn.init.normal_(self.weights, std=RANK**-0.5)

    def forward(self, z: Float[Tensor, "B M W"]) -> Float[Tensor, "B W"]:
        """The fused vector, linear in each modality when the others are fixed."""
        product = torch.einsum("bmv,mrvw->mbrw", with_one(z), self.factors).prod(0)  # (B, R, W)
        return torch.einsum("r,brw->bw", self.weights, product) + self.bias


class GraphFusion(nn.Module):
    """Hierarchical graph fusion: vertices of one, two and three modalities, each layer weighted by attention.

    One:    s_i = tanh(aᵀz_i + c);  layer u = Σ_i s_i z_i / M.
    Two:    s_ij = (s_i + s_j) / (⟨softmax z_i, softmax z_j⟩ + ½);  w = softmax over pairs of s_ij;
            v_ij = tanh(w_ij g([z_i; z_j]));  layer Σ v_ij.
    Three:  vertices of two pairs and of a pair with the third modality, in the same way with g₂: similarity between
            softmax g([z_i; z_j]) and its like (softmax z_k), score from s_ij and its like (s_k), content from v_ij and
            its like (z_k).
    Out:    three layers tanh(Wx + b) of the concatenated layers, which are as many as there are modalities.
    g and g₂ are tanh(W LeakyReLU(W'x + b') + b), 64 hidden units. Similar vertices carry redundant information, so the
    score is divided by the similarity.
    """

    def __init__(self, modalities: int, width: int) -> None:
        super().__init__()
        self.attention = nn.Linear(width, 1)
        self.pair = self._join(width) if modalities > 1 else None
        self.triple = self._join(width) if modalities > 2 else None
        self.layers = tanh_layers(modalities * width, width)

    @staticmethod
    def _join(width: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(2 * width, GRAPH_HIDDEN), nn.LeakyReLU(0.2), nn.Linear(GRAPH_HIDDEN, width), nn.Tanh()
        )

    def forward(self, z: Float[Tensor, "B M W"]) -> Float[Tensor, "B W"]:
        """Within (−1, 1)."""
        score = self.attention(z).tanh()  # (B, M, 1)
        layers = [(score * z).mean(1)]  # vertices of one modality
        if self.pair is not None:
            i, j = torch.tensor(list(combinations(range(z.shape[1]), 2))).T
            joined = self.pair(torch.cat([z[:, i], z[:, j]], dim=-1))  # (B, pairs, W)
            pair_score = self._score(z.softmax(-1)[:, i], z.softmax(-1)[:, j], score[:, i] + score[:, j])
            pairs = torch.tanh(pair_score.softmax(1) * joined)
            layers.append(pairs.sum(1))
        if self.triple is not None:
            layers.append(self._triples(z, score, joined, pair_score, pairs).sum(1))
        fused: Tensor = self.layers(torch.cat(layers, dim=1))
        return fused

    @staticmethod
    def _score(
        a: Float[Tensor, "B V W"], b: Float[Tensor, "B V W"], score: Float[Tensor, "B V 1"]
    ) -> Float[Tensor, "B V 1"]:
        """A vertex's weight before the softmax, from distributions a and b and the scores of its parents."""
        return score / ((a * b).sum(-1, keepdim=True) + 0.5)

    def _triples(
        self,
        z: Float[Tensor, "B 3 W"],
        score: Float[Tensor, "B 3 1"],
        joined: Float[Tensor, "B 3 W"],
        pair_score: Float[Tensor, "B 3 1"],
        pairs: Float[Tensor, "B 3 W"],
    ) -> Float[Tensor, "B 6 W"]:
        """Vertices of two of the pairs 01, 02, 12, then of each pair with the modality that it lacks: 2, 1, 0."""
        assert self.triple is not None
        # Indices 0 to 2 are the pairs, 3 to 5 the modalities.
        i = torch.tensor([0, 0, 1, 0, 1, 2])
        j = torch.tensor([1, 2, 2, 5, 4, 3])
        distributions = torch.cat([joined, z], dim=1).softmax(-1)  # (B, 6, W)
        scores = torch.cat([pair_score, score], dim=1)  # (B, 6, 1)
        contents = torch.cat([pairs, z], dim=1)  # (B, 6, W)
        weight = self._score(distributions[:, i], distributions[:, j], scores[:, i] + scores[:, j]).softmax(1)
        return torch.tanh(weight * self.triple(torch.cat([contents[:, i], contents[:, j]], dim=-1)))


def product_of_experts(experts: Gaussian) -> Gaussian:
    """N(0, I) · ∏_m N(μ_m, σ_m²), normalised: precision 1 + Σ 1/σ_m², mean Σ μ_m/σ_m² over the precision.

    Args:
        experts: Means and deviations (B, M, W).

    Returns:
        Means and deviations (B, W).
    """
    precision = experts.std**-2
    total = 1 + precision.sum(1)
    return Gaussian((precision * experts.mean).sum(1) / total, total**-0.5)


def make_fusion(kind: Fusion, modalities: int, width: int) -> nn.Module:
    """A module from (B, M, W) to (B, W)."""
    match kind:
        case "concat":
            return ConcatFusion(modalities, width)
        case "sum":
            return SumFusion()
        case "product":
            return ProductFusion(width)
        case "tensor":
            return TensorFusion(modalities, width)
        case "low-rank":
            return LowRankFusion(modalities, width)
        case "graph":
            return GraphFusion(modalities, width)
        case "poe":
            raise ValueError("a product of experts needs Gaussians; use product_of_experts")
