"""C-MIB against its formulas, hand-worked numbers and the published parameter counts."""

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from qamoe_baselines.cmib import VARIANTS, Branch, CMIBConfig, build
from qamoe_baselines.cmib_bottleneck import Bottleneck, Gaussian
from tinydata import make_dataset, training_batch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.seeding import seeded

SMALL = {"width": 10, "hidden": 16}
STILL = {f"{part}_dropout": 0.0 for part in ("attention", "hidden", "residual", "embedding", "pool")}
every_variant = pytest.mark.parametrize("variant", [{}, *VARIANTS.values()], ids=["c-mib", *VARIANTS])


def test_the_bottleneck_equals_a_hand_worked_example() -> None:
    block = Bottleneck(width=1, hidden=1)
    weights = {"hidden": (2, 1), "mean": (0.5, -1), "std": (1, -2), "decoder": (3, 1)}
    for name, (weight, bias) in weights.items():
        nn.init.constant_(block.get_parameter(f"{name}.weight"), weight)
        nn.init.constant_(block.get_parameter(f"{name}.bias"), bias)
    actual = block(torch.tensor([[3.0], [-3.0]]), sample=False)
    # h = ReLU(2·3 + 1) = 7 and ReLU(−5) = 0; μ = h/2 − 1; σ = softplus(h − 2 − 5), softplus(0) = ln 2; ŷ = 3μ + 1
    torch.testing.assert_close(actual.code.mean, torch.tensor([[2.5], [-1.0]]))
    torch.testing.assert_close(actual.code.std, torch.tensor([[0.6931472], [0.000911466]]))
    torch.testing.assert_close(actual.z, actual.code.mean)
    torch.testing.assert_close(actual.values, torch.tensor([[8.5], [-2.0]]))


def test_a_sampled_code_is_mean_plus_deviation_times_noise() -> None:
    code = Gaussian(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 3.0]]))
    with seeded("noise"):
        noise = torch.randn(1, 2)
    with seeded("noise"):
        torch.testing.assert_close(code.draw(sample=True), torch.tensor([[1.0, -2.0]]) + noise * code.std)


def test_the_divergence_is_that_of_torch_averaged_over_samples_and_dimensions() -> None:
    code = Gaussian(torch.randn(6, 3), torch.rand(6, 3) + 0.1)
    expected = kl_divergence(Normal(code.mean, code.std), Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(code.divergence(), expected)


def test_the_divergence_stays_finite_where_softplus_underflows() -> None:
    block = Bottleneck(width=2, hidden=4)
    nn.init.constant_(block.std.bias, -1e3)
    divergence = block(torch.randn(3, 2), sample=True).code.divergence()
    divergence.backward()
    assert divergence.isfinite()
    assert all(p.grad.isfinite().all() for p in block.parameters() if p.grad is not None)


# Errors |1 − 0|, |3 − 4|; |0 − 0|, |0 − 4|; |2 − 0|, |4 − 4|; for the final one |1 − 0|, |2 − 4|.
PREDICTIONS = {"text": [1.0, 3.0], "audio": [0.0, 0.0], "vision": [2.0, 4.0]}  # mean errors 1, 2, 1
FINAL, TARGET = [1.0, 2.0], [0.0, 4.0]  # mean error 1.5


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("c", 8.0),  # 1 + 2 + 1 + 2·1.5 + 0.1·(2 + 3 + 4 + 1)
        ("e", 3.1),  # 2·1.5 + 0.1·1
        ("l", 7.9),  # 1 + 2 + 1 + 2·1.5 + 0.1·(2 + 3 + 4)
        ("b", 1.5),
    ],
)
def test_the_loss_equals_a_hand_worked_number(
    variant: str, expected: float, tiny: Dataset, batch: TrainingBatch
) -> None:
    model = build(tiny.spec, variant=variant, beta=0.1, **SMALL)
    parts = dict[str, Tensor]()
    if variant in "cl":
        parts |= {f"values_{m}": torch.tensor(p)[:, None] for m, p in PREDICTIONS.items()}
        parts |= {f"divergence_{m}": torch.tensor(d) for m, d in (("text", 2.0), ("audio", 3.0), ("vision", 4.0))}
    if variant in "ce":
        parts["divergence"] = torch.tensor(1.0)
    assert set(model(batch).parts) == set(parts)
    two = replace(batch.rows(slice(2)), target=torch.tensor(TARGET))
    actual = model.loss(Output(torch.tensor(FINAL), parts=parts), two)
    torch.testing.assert_close(actual, torch.tensor(expected))


def test_forward_equals_the_formulas(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, **SMALL).eval()

    def squeezed(block: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction from μ, and the mean divergence of one sample."""
        w = dict(block.named_parameters())
        h = (w["hidden.weight"] @ x + w["hidden.bias"]).clamp(min=0)
        mean = w["mean.weight"] @ h + w["mean.bias"]
        std = (1 + (w["std.weight"] @ h + w["std.bias"] - 5).exp()).log()
        return mean, (mean**2 + std**2 - 2 * std.log() - 1).mean() / 2

    encoded, output = model.encode(batch), model(batch)
    divergence = torch.zeros(())
    for i in range(batch.size):
        codes = [squeezed(model.unimodal[m], encoded[m][i])[0] for m in model.modalities]
        assert model.multimodal is not None
        mean, part = squeezed(model.multimodal, torch.relu(model.fusion.linear(torch.cat(codes))))  # type: ignore[union-attr,operator]
        torch.testing.assert_close(output.prediction[i], model.multimodal.decoder(mean)[0])
        divergence = divergence + part / batch.size
    torch.testing.assert_close(output.parts["divergence"], divergence)


def test_early_fusion_takes_the_encodings_and_late_fusion_has_no_second_bottleneck(
    tiny: Dataset, batch: TrainingBatch
) -> None:
    early, late, bare = (build(tiny.spec, variant=v, fusion="sum", **SMALL).eval() for v in "elb")
    assert early.multimodal is not None
    total = sum(early.encode(batch).values(), torch.zeros(20, 10))
    torch.testing.assert_close(early(batch).prediction, early.multimodal(total, sample=False).values[:, 0])
    means = [late.unimodal[m](x, sample=False).z for m, x in late.encode(batch).items()]
    assert late.decoder is not None
    torch.testing.assert_close(late(batch).prediction, late.decoder(sum(means, torch.zeros(20, 10)))[:, 0])
    assert bare.decoder is not None
    total = sum(bare.encode(batch).values(), torch.zeros(20, 10))
    torch.testing.assert_close(bare(batch).prediction, bare.decoder(total)[:, 0])


def test_a_product_of_experts_is_what_the_second_bottleneck_sees(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, fusion="poe", **SMALL).eval()
    codes = [model.unimodal[m](x, sample=False).code for m, x in model.encode(batch).items()]
    precision = 1 + sum((c.std**-2 for c in codes), torch.zeros(20, 10))
    mean = sum((c.mean * c.std**-2 for c in codes), torch.zeros(20, 10)) / precision
    assert model.multimodal is not None
    torch.testing.assert_close(model(batch).prediction, model.multimodal(mean, sample=False).values[:, 0])


@pytest.mark.parametrize("pool", ["mean", "statistics"])
def test_the_text_branch_equals_a_plain_loop(
    pool: Literal["mean", "statistics"], tiny: Dataset, batch: TrainingBatch
) -> None:
    branch = Branch("text", tiny.spec, CMIBConfig(width=10, pool=pool)).eval()
    features = batch.features["text"].clone()
    row = int(batch.lengths["text"].argmax())
    length = int(batch.lengths["text"][row])
    features[row, 1] = 0  # a lost frame
    actual = branch(replace(batch, features={**batch.features, "text": features}))[row]
    kept = [t for t in range(length) if t != 1]
    frames = {t: (features[row, t] - tiny.spec.feature_mean["text"]) / tiny.spec.feature_std["text"] for t in kept}
    convolved = [
        sum(
            (branch.convolution.weight[:, :, k] @ frames[t + k - 1] for k in range(3) if t + k - 1 in frames),
            torch.zeros(10),
        )
        for t in kept
    ]
    expected = torch.stack(convolved).mean(0)
    if pool == "statistics":
        std = (torch.stack(convolved).var(0, correction=0) + 1e-6).sqrt() - 1e-3
        norm, _, linear = branch.pool.map  # type: ignore[misc]
        expected = linear(norm(torch.cat([expected, std])))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_the_last_position_is_read_whatever_it_holds(tiny: Dataset, batch: TrainingBatch) -> None:
    config = CMIBConfig(width=10, pool="last", standardise=False)
    text, audio = (Branch(m, tiny.spec, config).eval() for m in ("text", "audio"))
    x = batch.features["text"]  # (B, 4, 5), with zeros at the back of most
    weight = text.convolution.weight
    torch.testing.assert_close(text(batch), x[:, 2] @ weight[:, :, 0].T + x[:, 3] @ weight[:, :, 1].T)
    assert audio.transformer is not None
    states = audio.convolution(batch.features["audio"].transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(audio(batch), audio.transformer(states)[:, -1])


@pytest.mark.parametrize("modality", ["text", "audio", "vision"])
@pytest.mark.parametrize("pool", ["mean", "statistics"])
def test_pooling_does_not_see_padding_or_its_amount(
    pool: Literal["mean", "statistics"], modality: str, tiny: Dataset, batch: Batch
) -> None:
    branch = Branch(modality, tiny.spec, CMIBConfig(width=10, pool=pool)).eval()
    longer = nn.functional.pad(batch.features[modality], (0, 0, 0, 7), value=9.0)
    padded = Batch({modality: longer}, {modality: batch.lengths[modality]})
    # The deviation of a single frame is the root of a rounding error.
    torch.testing.assert_close(branch(padded), branch(batch), atol=1e-3, rtol=0)
    nothing = Batch({modality: batch.features[modality] * 0}, {modality: batch.lengths[modality]})
    assert (branch(nothing) == 0).all()


def test_evaluation_samples_only_when_configured(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, **SMALL, **STILL)
    sampling = build(tiny.spec, sample_in_evaluation=True, **SMALL, **STILL)
    assert not torch.equal(model(batch).prediction, model(batch).prediction)  # training samples
    model.eval(), sampling.eval()
    assert torch.equal(model(batch).prediction, model(batch).prediction)
    assert not torch.equal(sampling(batch).prediction, sampling(batch).prediction)


@every_variant
def test_gradients_reach_every_parameter(variant: dict[str, Any], tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, **SMALL, **variant)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3) if parameter.ndim > 1 else None
    odd = batch.rows(slice(19))  # with an even number the signs of the errors may balance, and a bias stands still
    model.loss(model(odd), odd).backward()  # type: ignore[no-untyped-call]
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


@every_variant
def test_padding_has_no_influence(variant: dict[str, Any], tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, **{**SMALL, **variant, "sample_in_evaluation": False}).eval()
    poisoned = {m: torch.where(batch.mask(m)[..., None], x, 77.0) for m, x in batch.features.items()}
    torch.testing.assert_close(model(replace(batch, features=poisoned)).prediction, model(batch).prediction)


@every_variant
@pytest.mark.parametrize("modalities", [("text",), ("vision",), ("text", "audio")])
def test_any_subset_of_modalities(variant: dict[str, Any], modalities: tuple[str, ...]) -> None:
    data = make_dataset(modalities)
    batch = training_batch(data.splits["test"])
    model = build(data.spec, **SMALL, **variant)
    assert model.loss(model(batch), batch).isfinite()


@pytest.mark.parametrize("variant", ["e", "b"])
def test_a_product_of_experts_without_unimodal_bottlenecks_is_refused(variant: str, tiny: Dataset) -> None:
    with pytest.raises(BenchError, match=f"'poe' multiplies .* variant '{variant}' has none; choose another fusion"):
        build(tiny.spec, variant=variant, fusion="poe")


@pytest.mark.parametrize(("variant", "published"), [("c", 109_835_748), ("b", 109_216_699)])
def test_the_number_of_parameters_is_the_published_one(variant: str, published: int) -> None:
    widths = {"text": 1, "audio": 74, "vision": 47}
    spec = DataSpec(
        name="mosi",
        widths=widths,
        lengths=dict.fromkeys(widths, 50),
        feature_mean={m: torch.zeros(d) for m, d in widths.items()},
        feature_std={m: torch.ones(d) for m, d in widths.items()},
        label_range=(-3.0, 3.0),
        label_mean=0.0,
        label_std=1.0,
        token_ids={"text": 100},
    )
    with torch.device("meta"):
        model = build(spec, variant=variant)
    assert sum(p.numel() for p in model.parameters()) == published
