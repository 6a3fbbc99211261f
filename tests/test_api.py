"""The Python interface: its documentation runs, its names load lazily, and it agrees with the command line."""

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import qamoe_bench
from qamoe_bench.api.evaluation import Evaluation
from qamoe_bench.evaluation.test_set import TestSet

FUNCTIONS = (
    "analyse", "compare", "corrupt", "evaluate", "export_samples", "import_predictions", "load_data", "load_model",
    "load_protocol", "plot_curve",
)  # fmt: skip
DOCUMENTED = {
    "qamoe_bench": qamoe_bench,
    "Store": qamoe_bench.Store,
    "Evaluation": Evaluation,
    **{name: getattr(qamoe_bench, name) for name in FUNCTIONS},
}


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return qamoe_bench.evaluate(qamoe_bench.load_model("mean"), seeds=(1, 2))


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_example_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # examples write to relative paths
    examples = 0
    runner = doctest.DocTestRunner()
    # Not recursive for the package: its members are documented one by one.
    recurse = isinstance(DOCUMENTED[name], type)
    for test in doctest.DocTestFinder(recurse=recurse).find(DOCUMENTED[name], name, globs={"qamoe_bench": qamoe_bench}):
        examples += len(test.examples)
        assert runner.run(test).failed == 0
    assert examples


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_documents_arguments_result_and_errors(name: str) -> None:
    text = getattr(qamoe_bench, name).__doc__
    assert all(f"\n{section}:\n" in text.replace("    ", "") for section in ("Args", "Returns", "Raises", "Examples"))


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_the_package_loads_no_library() -> None:
    loaded = run_python(
        "import sys; before = set(sys.modules); import qamoe_bench; print(*(set(sys.modules) - before))"
    )
    assert loaded.split() == ["qamoe_bench"]


def test_stored_results_are_analysed_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import qamoe_bench; print(qamoe_bench.analyse, qamoe_bench.compare)"
    )
    assert "function analyse" in run_python(code)


def test_every_exported_name_exists_and_others_do_not() -> None:
    for name in qamoe_bench.__all__:
        assert getattr(qamoe_bench, name) is not None
    assert sorted([*qamoe_bench.__all__, "__version__"]) == sorted(dir(qamoe_bench))
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        qamoe_bench.evalute  # type: ignore[attr-defined]  # noqa: B018


def test_help_lists_every_exported_name() -> None:
    text = run_python("import pydoc, qamoe_bench; print(pydoc.render_doc(qamoe_bench, renderer=pydoc.plaintext))")
    summary, _, members = text.partition("PACKAGE CONTENTS")
    for name in qamoe_bench.__all__:
        assert f"    {name}  " in summary
        assert f"    class {name}(" in members or f"    {name}(" in members


@pytest.mark.parametrize("protocol", ["random-missing", "quality-degradation"])
def test_corrupt_gives_the_samples_that_a_sweep_gives_to_models(protocol: str) -> None:
    data = qamoe_bench.load_data()
    condition = qamoe_bench.load_protocol(protocol).conditions[4]
    batch = qamoe_bench.corrupt(data, (protocol, condition.name), seed=7)
    expected = TestSet(data, 7, torch.device("cpu")).corrupted(condition, slice(64, 128)).batch
    for modality in expected.modalities:
        torch.testing.assert_close(batch.features[modality][64:128], expected.features[modality], rtol=0, atol=0)
    assert type(batch) is qamoe_bench.Batch  # without labels
    assert qamoe_bench.corrupt(data, condition, "valid", seed=7).size == len(data.splits["valid"])


def test_unknown_names_are_refused(evaluation: Evaluation) -> None:
    for call, words in (
        (lambda: qamoe_bench.corrupt("synthetic", ("random-missing", "eta=0.55")), "did you mean 'eta=0.5'"),
        (lambda: qamoe_bench.corrupt("synthetic", ("clean", "clean"), "tset"), "did you mean 'test'"),
        (lambda: qamoe_bench.analyse(evaluation, "mmas"), "did you mean 'mmsa'"),
        (lambda: qamoe_bench.analyse([]), "pass at least one"),
        (lambda: qamoe_bench.analyse("nowhere"), "no finished cells"),
        (lambda: qamoe_bench.load_model("maen"), "did you mean 'mean'"),
        (lambda: qamoe_bench.plot_curve(qamoe_bench.analyse(evaluation, metrics=["mae"])[0], "corr"), "mae"),
    ):
        with pytest.raises(qamoe_bench.BenchError, match=words):
            call()


def test_a_model_is_built_with_the_weights_of_a_checkpoint(tmp_path: Path) -> None:
    first = qamoe_bench.load_model("late-fusion", seed=1)
    other = qamoe_bench.load_model("late-fusion", seed=2)
    save_file(first.state_dict(), tmp_path / "w.safetensors")
    loaded = qamoe_bench.load_model("late-fusion", checkpoint=tmp_path / "w.safetensors", seed=2)
    name = next(iter(dict(first.named_parameters())))
    assert torch.equal(loaded.get_parameter(name), first.get_parameter(name))
    assert not torch.equal(loaded.get_parameter(name), other.get_parameter(name))


def test_an_evaluation_and_its_saved_cells_are_analysed_alike(evaluation: Evaluation, tmp_path: Path) -> None:
    (direct,) = qamoe_bench.analyse(evaluation, metrics=["mae", "acc2_non0"])
    (stored,) = qamoe_bench.analyse(evaluation.save(tmp_path), metrics=["mae", "acc2_non0"])
    assert direct.section.seeds == stored.section.seeds == (1, 2)
    for a, b in zip(direct.scores, stored.scores, strict=True):
        np.testing.assert_array_equal(a.values, b.values)
    mae = direct.scores[0].values[0, :, 3].mean()
    assert evaluation.scores().loc["eta=0.3", "mae"] == pytest.approx(mae, abs=1e-6)
    names = [cell.samples for cell in evaluation.cells]
    assert names[0] == qamoe_bench.load_data().splits["test"].ids
    assert evaluation.cells[0].predictions.shape[0] * 2 == evaluation.predictions.shape[0]


def test_two_models_of_one_class_are_two_rows(evaluation: Evaluation) -> None:
    models = [qamoe_bench.load_model("late-fusion", seed=seed) for seed in (1, 2)]
    evaluations = [qamoe_bench.evaluate(model, protocol="clean", seeds=(1,)) for model in models]
    (analysis,) = qamoe_bench.analyse(evaluations, metrics=["mae"])
    assert len({row.name for row in analysis.section.rows}) == 2
    assert len(qamoe_bench.analyse([*evaluations, evaluation], metrics=["mae"])) == 2  # two protocols
    with pytest.raises(qamoe_bench.BenchError, match="--kind points"):
        qamoe_bench.plot_curve(analysis)


def test_compare_reports_a_model_that_got_worse(tmp_path: Path) -> None:
    data = qamoe_bench.load_data()
    model = qamoe_bench.load_model("late-fusion", data)
    reference = qamoe_bench.evaluate(model, data, "clean", seeds=(1, 2, 3)).save(tmp_path / "reference")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(2.0)
    qamoe_bench.evaluate(model, data, "clean", seeds=(1, 2, 3)).save(tmp_path / "results")
    verdict = qamoe_bench.compare(reference, tmp_path / "results", metrics=["mae"])
    assert {finding.kind for finding in verdict.regressions} == {"worse"}
    assert not qamoe_bench.compare(reference, reference).regressions
