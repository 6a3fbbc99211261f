"""Clusters of test samples: how they are read, and what reports say and do about them."""

from pathlib import Path

import numpy as np
import pytest
from fakestore import noisy, write_store

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.clusters import BY_IDS, cluster_rule
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.dialects import MMSA
from qamoe_bench.report.formats.plain import plain_text
from qamoe_bench.report.records import records
from qamoe_bench.report.tables import analyses, chapters
from qamoe_bench.store.store import Store

VIDEOS = [f"v{video}$_${segment}" for video in range(10) for segment in range(12)]


@pytest.mark.parametrize(
    ("ids", "count", "kind"),
    [
        (["a$_$1", "a$_$2", "b$_$1"], 2, "video"),
        (["-x_y$_$clip 3", "-x_y$_$4", "b$_$1"], 2, "video"),
        (["a[0]", "a[1]", "b[0]", "b[1]", "c[0]"], 3, "video"),
        (["a_b_1", "a_b_2", "a_c_1"], 2, "video"),
        (["dia0_utt0", "dia0_utt1", "dia10_utt0"], 2, "dialogue"),
        (["Ses05F_impro01_F000", "Ses05F_impro01_M001", "Ses05M_script01_1_F000"], 2, "dialogue"),
    ],
)
def test_clusters_are_read_from_the_ids_that_the_field_uses(ids: list[str], count: int, kind: str) -> None:
    clusters = BY_IDS.clusters(ids)
    assert clusters is not None
    assert (clusters.count, clusters.kind) == (count, kind)
    assert clusters.sizes.sum() == len(ids)


@pytest.mark.parametrize(
    "ids",
    [
        ["test-0000", "test-0001"],  # the embedded data
        ["test_0", "test_1", "test_2"],  # one prefix for all
        ["a$_$1", "b$_$1", "c$_$1"],  # one sample per video
        ["a$_$1", "b[1]", "c_1", "a$_$2"],  # no common form
        ["1", "2", "3"],
    ],
)
def test_other_samples_are_independent(ids: list[str]) -> None:
    assert BY_IDS.clusters(ids) is None


def test_clusters_of_a_file_are_those_of_its_column(tmp_path: Path) -> None:
    path = tmp_path / "speakers.csv"
    path.write_text("\ufeffid,speaker,room\na,ann,1\nb,bob,1\nc,ann,1\n", encoding="utf-8")
    clusters = cluster_rule(f"{path}:speaker").clusters(["c", "b", "a"])
    assert clusters is not None
    assert clusters.codes.tolist() == [0, 1, 0]
    assert cluster_rule(f"{path}:room").clusters(["a", "b"]) is None  # a single cluster
    path.write_text("id,speaker\na,ann\nb,bob\nc,ann\n", encoding="utf-8")
    assert cluster_rule(str(path)).clusters(["a", "b", "c"]) is not None


@pytest.mark.parametrize(
    ("text", "content", "message"),
    [
        ("{}", None, "expected auto, none or a CSV file with a column id, got no such file"),
        ("{}", "name,speaker\na,b\n", "expected a column id and one of clusters, got name, speaker"),
        ("{}", "id,speaker,room\na,b,c\n", "name the column, as in"),
        ("{}:rom", "id,room\na,b\n", "expected a column id and one of clusters, got id, room"),
        ("{}", "", "got an empty file"),
        ("{}", "id,speaker\nx,y\n", "got none for 2 of 2, such as 'a'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, text: str, content: str | None, message: str) -> None:
    path = tmp_path / "file.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(BenchError, match=message):
        cluster_rule(text.format(path)).clusters(["a", "b"])


def results(store: Store, cluster: str) -> Analysis:
    (analysis,) = analyses(store.cells(), MMSA, ["mae", "corr"], cluster_rule(cluster))
    return analysis


def test_the_report_resamples_videos_and_says_once_how_much_wider_its_intervals_are(tmp_path: Path) -> None:
    def by_video(label: np.ndarray, level: float, random: np.random.Generator) -> np.ndarray:
        return label + np.repeat(np.random.default_rng(7).standard_normal(10), 12) + 0.1 * random.standard_normal(120)

    store = write_store(tmp_path, {"late-fusion": by_video, "a": noisy(1.0)}, ids=VIDEOS)
    clustered = results(store, "auto")
    independent = results(store, "none")
    assert clustered.widening is not None
    assert clustered.widening.means > 1.5
    assert independent.widening is None
    (chapter,) = chapters([clustered], store.manifests())
    text = plain_text([chapter])
    assert text.count("10 videos of 12 to 12 samples") == 1
    assert "with 9 degrees of freedom" in text.replace("\n", " ")
    (other,) = chapters([independent], store.manifests())
    assert "videos" not in plain_text([other])
    widths = []
    for analysis in (clustered, independent):
        (own,) = [
            r for r in records([analysis])
            if (r["row"], r["statistic"], r["metric"]) == ("late-fusion", "mean", "mae")
        ]  # fmt: skip
        widths.append(own["high"] - own["low"])
        assert own["clusters"] == (10 if analysis is clustered else None)
    assert widths[0] > 1.5 * widths[1]
