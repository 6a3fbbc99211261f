"""Rows of predictors that know the law: on request only, and never in the place of another row."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qamoe_bench.errors import BenchError
from qamoe_bench.provenance.closure import closure_of
from qamoe_bench.provenance.engine import ENGINE
from qamoe_bench.registry import find_model
from qamoe_bench.registry.limits import LIMITS
from qamoe_bench.run.grid import Grid
from qamoe_bench.run.plan import Plan, job_digest
from qamoe_bench.run.planner import plan
from qamoe_bench.run.study import load_study
from qamoe_bench.run.worker import run_job
from qamoe_bench.store.store import Store


def planned(*models: str, protocols: tuple[str, ...] = ("random-missing",), data: str = "synthetic") -> Plan:
    (located,) = Grid(protocols=protocols, models=models, data=(data,), seeds=(1,)).expand()
    return plan(located.request)


def rows(of: Plan) -> list[str]:
    return [cell.model for cell in of.cells]


def test_limits_are_planned_only_if_they_are_named() -> None:
    by_default = planned("mean")
    assert rows(by_default) == ["mean", "oracle"]
    with_limits = planned("mean", "@limits", "oracle")
    assert rows(with_limits) == ["mean", "oracle", *LIMITS]
    assert rows(planned("plug-in")) == ["oracle", "plug-in"]
    # Rows that are there anyway keep their keys.
    assert {cell.key for cell in by_default.cells} < {cell.key for cell in with_limits.cells}
    assert len({cell.key for cell in with_limits.cells}) == 6
    # As a worker on another machine checks that it has the same code and data.
    engine = with_limits.manifest["engine"]
    assert [job_digest(job, engine) for job in with_limits.jobs] == [job.digest for job in with_limits.jobs]


def test_code_of_limits_is_in_no_key_of_other_rows() -> None:
    sources = closure_of(ENGINE).sources
    for module in ("evaluation.limits", "data.synthetic.inferring", "data.synthetic.blind", "data.synthetic.plug_in"):
        assert f"qamoe_bench.{module}" not in sources


def test_limits_need_data_with_a_law(write_pickle: Callable[..., Path]) -> None:
    file = str(write_pickle())
    expected = r"model 'oracle-blind': expected data whose law is known, got '.*'; use --data synthetic, or leave the"
    with pytest.raises(BenchError, match=expected):
        planned("mean", "oracle-blind", data=file)
    assert rows(planned("mean", data=file)) == ["mean"]


def test_protocols_that_no_posterior_covers_have_no_row_and_the_run_says_so() -> None:
    both = planned("mean", "plug-in", protocols=("random-missing", "salt-and-pepper"))
    lines = [(cell.model, cell.protocol) for cell in both.cells]
    assert ("mean", "salt-and-pepper") in lines
    assert ("plug-in", "random-missing") in lines
    assert ("plug-in", "salt-and-pepper") not in lines
    assert both.notes == ("plug-in: no row under salt-and-pepper, whose corruption no exact posterior covers",)
    assert not planned("mean", protocols=("salt-and-pepper",)).notes
    with pytest.raises(BenchError, match=r"no row under salt-and-pepper.*; name a protocol that it covers, such as"):
        planned("plug-in", protocols=("salt-and-pepper",))


def test_limits_have_no_settings_and_cannot_be_built() -> None:
    advice = "only 'qamoe-bench run --model oracle-blind' computes it, without settings"
    for name in ("oracle-blind", "oracle-blind:k=2"):
        with pytest.raises(BenchError, match=advice):
            find_model(name)
    with pytest.raises(BenchError, match=advice):
        planned("oracle-blind:k=2")


def test_studies_name_limits_and_their_configs_leave_them_alone(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(
        'schema = 1\nprotocols = ["clean"]\nmodels = ["late-fusion", "oracle-inferring", "@limits"]\n'
        'configs = ["", "train.epochs=2"]\n',
        encoding="utf-8",
    )
    (located,) = load_study(study, Grid())
    assert set(located.request.models) == {"late-fusion", "late-fusion:train.epochs=2", *LIMITS}


def test_a_limit_is_swept_and_stored_as_the_oracle_is(tmp_path: Path) -> None:
    (_, job) = planned("oracle-assumes-clean", protocols=("clean",)).jobs
    store = Store(tmp_path)
    store.prepare("run")
    outcome = run_job(job, store, "run", lambda _: None)
    assert (outcome.evaluated, outcome.failures) == (1, ())
    (stored,) = store.cells()
    assert (stored.cell.model, stored.cell.regime) == ("oracle-assumes-clean", "")
    assert {"prediction", "prediction_mae", "variance"} <= set(stored.names)
