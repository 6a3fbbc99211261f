"""C-MIB's fusions against literal transcriptions of their formulas."""

import pytest
import torch
from qamoe_baselines.cmib_bottleneck import Gaussian
from qamoe_baselines.cmib_fusion import (
    ConcatFusion,
    Fusion,
    GraphFusion,
    LowRankFusion,
    ProductFusion,
    SumFusion,
    TensorFusion,
    make_fusion,
    product_of_experts,
)
from torch import Tensor, nn

PAIR = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])  # one sample, two modalities, two dimensions


def layers(fusion: nn.Module, x: Tensor) -> Tensor:
    """Three times tanh(Wx + b), with the weights of a fusion."""
    for weight, bias in zip(*[iter(fusion.get_submodule("layers").parameters())] * 2, strict=True):
        x = torch.tanh(weight @ x + bias)
    return x


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("kind", ["concat", "sum", "product", "tensor", "low-rank", "graph"])
def test_every_fusion_takes_any_number_of_modalities_and_uses_all_its_parameters(kind: Fusion, modalities: int) -> None:
    fusion = make_fusion(kind, modalities, width=4)
    z = torch.randn(7, modalities, 4, requires_grad=True)
    fused = fusion(z)
    assert fused.shape == (7, 4)
    fused.square().sum().backward()
    assert z.grad is not None
    assert (z.grad.abs().sum((0, 2)) > 0).all()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in fusion.parameters())


def test_concat_is_one_layer() -> None:
    fusion = ConcatFusion(2, 2)
    fusion.linear.weight.data = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, -1]])
    fusion.linear.bias.data = torch.tensor([0.5, 0.0])
    # 1 + 3 + 0.5, and ReLU(2 − 4)
    torch.testing.assert_close(fusion(PAIR), torch.tensor([[4.5, 0.0]]))


def test_sum_adds() -> None:
    assert SumFusion()(PAIR).tolist() == [[4.0, 6.0]]  # 1 + 3, 2 + 4


def test_product_multiplies_all_modalities_before_its_layers() -> None:
    fusion = ProductFusion(2)
    z = torch.cat([PAIR, torch.tensor([[[0.5, -1.0]]])], dim=1)
    # 1 · 3 · ½, 2 · 4 · (−1)
    torch.testing.assert_close(fusion(z)[0], layers(fusion, torch.tensor([1.5, -8.0])))


def test_tensor_takes_the_outer_product_with_ones() -> None:
    fusion = TensorFusion(2, 2).eval()
    outer = torch.tensor([1.0, 3, 4, 1, 3, 4, 2, 6, 8])  # (1, 1, 2) × (1, 3, 4)
    torch.testing.assert_close(fusion(PAIR)[0], layers(fusion, outer))


def test_tensor_of_three_is_the_product_of_every_choice() -> None:
    fusion, z = TensorFusion(3, 2).eval(), torch.randn(1, 3, 2)
    one = [[1.0, *v.tolist()] for v in z[0]]
    outer = [a * b * c for a in one[0] for b in one[1] for c in one[2]]
    torch.testing.assert_close(fusion(z)[0], layers(fusion, torch.tensor(outer)))


def test_low_rank_is_a_weighted_sum_of_products_of_linear_maps() -> None:
    fusion, z = LowRankFusion(3, 2), torch.randn(1, 3, 2)
    nn.init.normal_(fusion.bias)
    expected = torch.zeros(2) + fusion.bias
    for r in range(5):
        product = torch.ones(2)
        for m in range(3):
            product = product * (torch.tensor([1.0, *z[0, m].tolist()]) @ fusion.factors[m, r])
        expected = expected + fusion.weights[r] * product
    torch.testing.assert_close(fusion(z)[0], expected)


def graph(fusion: GraphFusion, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Every vertex of three modalities by name."""
    sa, sb, sc = (torch.tanh(fusion.attention(x)) for x in (a, b, c))
    unimodal = (sa * a + sb * b + sc * c) / 3

    def soft(x: Tensor) -> Tensor:
        return x.exp() / x.exp().sum()

    def score(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> Tensor:
        return (of_x + of_y) / (soft(x) @ soft(y) + 0.5)

    assert fusion.pair is not None
    assert fusion.triple is not None
    ab, ac, bc = (fusion.pair(torch.cat(two)) for two in ((a, b), (a, c), (b, c)))
    sab, sac, sbc = score(a, b, sa, sb), score(a, c, sa, sc), score(b, c, sb, sc)
    nab, nac, nbc = soft(torch.cat([sab, sac, sbc]))
    vab, vac, vbc = torch.tanh(nab * ab), torch.tanh(nac * ac), torch.tanh(nbc * bc)
    weights = soft(
        torch.cat(
            [
                score(ab, ac, sab, sac),
                score(ab, bc, sab, sbc),
                score(ac, bc, sac, sbc),
                score(ab, c, sab, sc),
                score(ac, b, sac, sb),
                score(bc, a, sbc, sa),
            ]
        )
    )
    content = ((vab, vac), (vab, vbc), (vac, vbc), (vab, c), (vac, b), (vbc, a))
    trimodal = sum(torch.tanh(w * fusion.triple(torch.cat(two))) for w, two in zip(weights, content, strict=True))
    assert isinstance(trimodal, Tensor)
    return layers(fusion, torch.cat([unimodal, vab + vac + vbc, trimodal]))


def test_graph_equals_its_vertices_one_by_one() -> None:
    fusion, z = GraphFusion(3, 2), torch.randn(4, 3, 2)
    for i in range(4):
        torch.testing.assert_close(fusion(z)[i], graph(fusion, *z[i]))


def test_graph_of_two_has_one_pair_of_weight_one() -> None:
    fusion = GraphFusion(2, 2)
    assert fusion.pair is not None
    scores = fusion.attention(PAIR[0]).tanh()
    unimodal = (scores * PAIR[0]).mean(0)
    bimodal = torch.tanh(fusion.pair(torch.tensor([1.0, 2, 3, 4])))
    torch.testing.assert_close(fusion(PAIR)[0], layers(fusion, torch.cat([unimodal, bimodal])))


def test_product_of_experts_adds_precisions() -> None:
    actual = product_of_experts(Gaussian(torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[1.0], [0.5]]])))
    # precisions 1 (prior), 1 and 4; mean (0 · 1 + 1 · 1 + 3 · 4) / 6
    torch.testing.assert_close(actual.mean, torch.tensor([[13 / 6]]))
    torch.testing.assert_close(actual.std, torch.tensor([[6**-0.5]]))
