"""What `protocol show` says: worked out by hand, against closed forms, and through the command line."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from rich.console import Console
from typer.testing import CliRunner

from qamoe_bench.cli import protocol as cli_protocol
from qamoe_bench.curation.protocol_effect import measure
from qamoe_bench.curation.protocol_picture import picture, telling_sample
from qamoe_bench.curation.protocol_tables import protocol_chapter
from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.synthetic.synthetic import synthetic
from qamoe_bench.errors import BenchError
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.figures.protocol_plot import draw_picture
from qamoe_bench.protocol.parse import load_protocol, parse_protocol
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.report.formats.plain import plain_text
from qamoe_bench.report.formats.terminal import print_chapters

CPU = torch.device("cpu")
HEAD = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n'


def by_hand(token_ids: Mapping[str, int] = MappingProxyType({})) -> TestSet:
    """Text of training mean 1 and σ_ref 2; test text is (3, 1, 3) and (5), test audio is absent once."""

    def split(name: str, text: list[list[float]], audio: list[list[float]]) -> Split:
        values = {"text": text, "audio": audio}
        features = {}
        lengths = {}
        for m, rows in values.items():
            longest = max(map(len, rows))
            padded = [row + [0.0] * (longest - len(row)) for row in rows]
            features[m] = torch.tensor(padded)[..., None]  # (N, T, 1)
            lengths[m] = torch.tensor([len(row) for row in rows])
        ids = tuple(f"{name}{i}" for i in range(len(text)))
        return Split(ids, torch.arange(float(len(text))), features, lengths)

    fitting = [split(name, [[-1.0], [3.0]], [[0.0], [2.0]]) for name in ("train", "valid")]
    test = split("test", [[3.0, 1.0, 3.0], [5.0]], [[], [1.0, 2.0]])
    splits = dict(zip(("train", "valid", "test"), [*fitting, test], strict=True))
    return TestSet(Dataset("hand", splits, digest="", token_ids=token_ids), 1, CPU)


def row(frame: pd.DataFrame, condition: str, modality: str) -> dict[str, float]:
    rows = frame[(frame["condition"] == condition) & (frame["modality"] == modality)]
    assert len(rows) == 1
    return {name: float(rows[name].iloc[0]) for name in ("missing", "frames", "fully", "snr")}


def test_a_shift_worked_out_by_hand() -> None:
    """A shift by one turns (1, 0, 1) in σ_ref into (lost, 1, 0) or its mirror image: change 1 + 1, signal left 0 + 1.

    The single frame of 2 σ_ref does not move, so the ratio is (1 + 4) / 2.
    """
    step = '[[corruption]]\nkind = "temporal-shift"\nrate = 0.33\nmodalities = ["text"]\n'
    frame = measure(by_hand(), parse_protocol("p", HEAD + step))
    assert row(frame, "clean", "text") == pytest.approx(
        {"missing": 0, "frames": 1 / 6, "fully": 0.5, "snr": 10 * np.log10(5 / 2)}
    )
    # The first sample has no audio of its own.
    assert row(frame, "clean", "audio") == {"missing": 0.5, "frames": 0.5, "fully": 0.5, "snr": np.inf}


def test_where_nothing_is_left_there_is_no_ratio() -> None:
    step = '[[corruption]]\nkind = "frame-missing"\nrate = {text = 1, audio = 0}\n'
    frame = measure(by_hand(), parse_protocol("p", HEAD + step))
    text = row(frame, "clean", "text")
    assert (text["missing"], text["frames"], text["fully"]) == (1, 1, 0)
    assert np.isnan(text["snr"])


def test_token_ids_have_no_ratio() -> None:
    frame = measure(by_hand({"text": 100}), load_protocol("clean"))
    assert np.isnan(row(frame, "clean", "text")["snr"])
    assert row(frame, "clean", "audio")["snr"] == np.inf


def test_everything_is_averaged_over_the_draws(tiny: Dataset) -> None:
    step = '[[corruption]]\nkind = "modality-missing"\nrate = 0.5\n'
    protocol = parse_protocol("p", HEAD.replace("schema = 1", "schema = 1\ndraws = 3") + step)
    test = TestSet(tiny, 1, CPU)
    drawn = [test.corrupted(protocol.conditions[0], draw=draw) for draw in range(3)]
    frame = measure(test, protocol)
    for m in test.clean.modalities:
        expected = np.mean([(c.missing(m) == 1).float().mean().item() for c in drawn])
        assert row(frame, "clean", m)["missing"] == pytest.approx(expected)


@pytest.fixture(scope="module")
def embedded() -> TestSet:
    return TestSet(synthetic(), 1111, CPU)


def test_fully_observed_samples_follow_the_closed_form(embedded: TestSet) -> None:
    """All modalities stay with probability Π(1 − η); that one always stays changes nothing about that."""
    protocol = load_protocol("random-missing")
    frame = measure(embedded, protocol)
    for condition in protocol.conditions:
        measured = row(frame, condition.name, "text")
        eta = condition.levels["eta"]
        share = (1 - eta) ** 3
        assert measured["fully"] == pytest.approx(share, abs=4 * (share * (1 - share) / len(embedded.ids)) ** 0.5)
        # A modality that would be lost with all others (η³) is kept one time in three.
        expected = eta - eta**3 / 3
        assert measured["missing"] == pytest.approx(expected, abs=4 * (expected / len(embedded.ids)) ** 0.5)
        assert measured["snr"] == np.inf


def test_gaussian_noise_has_the_ratio_that_its_level_says(embedded: TestSet) -> None:
    protocol = load_protocol("quality-degradation")
    frame = measure(embedded, protocol)
    for condition in protocol.conditions[1:]:
        for m in ("audio", "vision"):
            ratio = row(frame, condition.name, m)["snr"]
            assert ratio == pytest.approx(-20 * np.log10(condition.levels["lambda"]), abs=0.3)
        assert row(frame, condition.name, "text")["snr"] == np.inf
        assert row(frame, condition.name, "text")["frames"] == pytest.approx(condition.levels["lambda"], abs=0.03)


def test_the_chapter_explains_each_kind_once_and_says_what_the_original_does(tiny: Dataset) -> None:
    places = protocol_chapter(TestSet(tiny, 7, CPU), load_protocol("block-place"))
    notes = places.tables[0].notes
    assert notes[0].startswith('1 rate, place = "start", shared_window = true, keep_ends = false: exactly round(rate')
    assert notes[1] == '2 rate, place = "middle", shared_window = true, keep_ends = false: as step 1'
    fixed = protocol_chapter(TestSet(tiny, 7, CPU), load_protocol("fixed-missing"))
    assert any(line.startswith("Original: Test: one checkpoint is tested on each subset") for line in fixed.lines)
    assert not any(
        line.startswith("Original") for line in protocol_chapter(TestSet(tiny, 7, CPU), load_protocol("clean")).lines
    )


@pytest.mark.parametrize("protocol", ["block-place", "block-subsets", "burst", "block-missing"])
def test_removed_frames_are_the_exact_share_of_the_new_kinds(protocol: str, embedded: TestSet) -> None:
    frame = measure(embedded, load_protocol(protocol))
    for condition in load_protocol(protocol).conditions:
        shares = {m: sum(step.levels.get(m, 0.0) for step in condition.steps) for m in ("text", "audio", "vision")}
        if "mixed" in condition.name:
            shares = dict.fromkeys(shares, 1 - (1 - 0.2) * (1 - 0.3))
        for m, share in shares.items():
            # Halves are rounded up, so lengths of few frames lose a little more than the share.
            assert row(frame, condition.name, m)["frames"] == pytest.approx(share, abs=0.03)


def test_the_chapter_says_what_the_protocol_is(tiny: Dataset) -> None:
    protocol = load_protocol("msa-robustness")
    chapter = protocol_chapter(TestSet(tiny, 7, CPU), protocol)
    text = plain_text([chapter])
    for words in ("msa-robustness on tiny", protocol.title, protocol.digest, "20 test samples", "seed 7"):
        assert words in text
    steps, points, *measured = chapter.tables
    assert steps.rows[0] == ("1 modality-missing", "text-missing", "audio-missing", "vision-missing")
    assert steps.notes[0].startswith("1 rate, keep_one = false: the whole modality")
    assert "multiplied by one N(0, 1) number" in steps.notes[1]
    assert points.rows[1] == ("text missing", "text-missing=0.3")
    for table in measured:
        assert [cells[0] for cells in table.rows] == list(protocol.points)
    for table in chapter.tables:
        assert all(len(cells) == len(table.header) for cells in table.rows)


@pytest.mark.parametrize(("name", "rows"), [("clean", 1), ("fixed-missing", 7), ("mixed", 64)])
def test_there_is_a_row_for_each_condition(tiny: Dataset, name: str, rows: int) -> None:
    *_, modalities, frames, ratios = protocol_chapter(TestSet(tiny, 1, CPU), load_protocol(name)).tables
    assert len(modalities.rows) == len(frames.rows) == len(ratios.rows) == rows
    assert modalities.rows[0][1:] == ("0.0",) * 4
    assert frames.rows[0][1:] == (*("0.0",) * 4, "100.0")
    assert ratios.rows[0][1:] == ("∞",) * 3
    if name == "fixed-missing":
        assert modalities.rows[1] == ("text", "0.0", "100.0", "100.0", "66.7")
        assert frames.rows[1] == ("text", "0.0", "100.0", "100.0", "66.7", "0.0")
        assert ratios.rows[1] == ("text", "∞", "–", "–")


@pytest.mark.parametrize("name", ["mixed", "msa-robustness", "lnln-missing"])
def test_nothing_is_cut_off_on_a_terminal_of_80_columns(tiny: Dataset, name: str) -> None:
    console = Console(file=io.StringIO(), width=80)
    print_chapters([protocol_chapter(TestSet(tiny, 1, CPU), load_protocol(name))], console)
    assert "…" not in console.file.getvalue()  # type: ignore[attr-defined]


def lost(test: TestSet, protocol: Protocol, sample: int) -> int:
    corrupted = test.corrupted(protocol.conditions[-1], slice(sample, sample + 1))
    return int(sum(corrupted.missing(m).item() for m in test.clean.modalities))


def test_the_sample_to_look_at_is_the_first_in_which_most_happens(tiny: Dataset) -> None:
    test = TestSet(tiny, 1, CPU)
    protocol = load_protocol("random-missing")
    sample = telling_sample(test, protocol)
    assert lost(test, protocol, sample) == 2
    assert all(lost(test, protocol, earlier) < 2 for earlier in range(sample))
    assert telling_sample(test, load_protocol("clean")) == 0


def test_the_picture_shows_what_a_model_would_see(tiny: Dataset) -> None:
    test = TestSet(tiny, 1, CPU)
    protocol = load_protocol("mixed")
    drawn = picture(test, protocol)
    assert (drawn.columns[0], drawn.columns[-1]) == ("λ = 0\nη = 0", "λ = 0.7\nη = 0.7")
    assert len(drawn.columns) == 8
    sample = telling_sample(test, protocol)
    assert f"test sample {test.ids[sample]}," in drawn.heading[1]
    assert drawn.heading[1].endswith("8 of 64 conditions")
    strip = drawn.strips["audio"]
    clean = test.clean.features["audio"][sample]
    expected = (clean - test.reference.mean["audio"]) / test.reference.std["audio"]
    np.testing.assert_array_equal(strip.values[0], expected.numpy())
    assert strip.length == test.clean.lengths["audio"][sample]
    assert not strip.lost[0].any()
    assert draw_picture(drawn) == draw_picture(picture(test, protocol))


COMMAND = typer.Typer()
COMMAND.add_typer(cli_protocol.app, name="protocol")


def show(*arguments: str) -> str:
    done = CliRunner().invoke(COMMAND, ["protocol", "show", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_prints_and_draws(write_pickle: Callable[..., Path], tmp_path: Path) -> None:
    data = str(write_pickle())
    plot = tmp_path / "p.png"
    out = show("random-missing", "--data", data, "--plot", str(plot))
    assert "random-missing on tiny" in out
    assert "eta=0.7" in out
    assert "wrote" not in out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert show("random-missing", "--data", data) == out


def test_the_command_reads_a_users_own_file(write_pickle: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(HEAD, encoding="utf-8")
    assert "mine on tiny" in show(str(tmp_path / "mine.toml"), "--data", str(write_pickle()), "--seed", "5")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("random-mising",), "did you mean 'random-missing'"),
        (("clean", "--data", "absent.pkl"), "no such file"),
        (("clean", "--plot", "p.pdf"), "let it end in .png"),
    ],
)
def test_mistakes_are_reported_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(BenchError, match=words):
        show(*arguments)


def test_a_plot_that_cannot_be_written_is_reported_before_anything_is_printed(
    write_pickle: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BenchError, match="cannot write"):
        show("clean", "--data", str(write_pickle()), "--plot", str(tmp_path / "absent" / "p.png"))
    assert capsys.readouterr().out == ""
