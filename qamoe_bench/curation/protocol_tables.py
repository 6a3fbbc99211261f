"""A protocol and its effect on a test split, as tables for `qamoe-bench protocol show`."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from qamoe_bench.curation.protocol_effect import measure
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.kinds import as_toml, kind_named
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.report.table import Chapter, Table
from qamoe_bench.vocabulary import MODALITIES, axis_symbol

FRAMES_NOTE = (
    "fully observed: share of samples that lost none of their frames; a modality that the data itself lacks for a "
    "sample counts as missing"
)
SNR_NOTE = (
    "10·log10(Σ signal² / Σ change²) over all samples, draws and remaining frames; signal: clean feature minus "
    "training mean, both in units of σ_ref; ∞: nothing changed; –: no frame is left, or the modality holds token ids"
)

# A cell without a value.
_EMPTY = "–"


def protocol_chapter(test: TestSet, protocol: Protocol) -> Chapter:
    """The definition of a protocol and its measured effect on a data set."""
    effect = measure(test, protocol)
    lines = [
        protocol.title,
        f"Source: {protocol.source}",
        f"Definition: {protocol.definition}",
        *([f"Original: {protocol.original}"] if protocol.original else []),
        f"Digest: {protocol.digest}",
        *_ends_line(test, protocol),
        f"Training (regime sweep): {protocol.training_sentence}",
        f"Measured: {len(test.ids)} test samples, seed {test.seed}, draws of each condition: {protocol.draws}",
    ]
    tables = []
    if protocol.corruptions:
        tables.append(_steps_table(protocol))
    else:
        lines.append("Steps: none")
    if protocol.points:  # conditions on axes have their levels in their names
        tables.append(_points_table(protocol))
    tables += [_modalities_table(effect), _frames_table(effect), _snr_table(effect)]
    return Chapter(f"{protocol.name} on {test.data.name}", tuple(lines), tuple(tables))


# The definition.


def _ends_line(test: TestSet, protocol: Protocol) -> list[str]:
    """What is assumed about the ends of text, where a step spares [CLS] and [SEP]."""
    spares = any(step["options"].get("keep_ends") is True for step in protocol.corruptions)
    if not spares or "text" not in test.clean.modalities:
        return []
    if test.reference.text_has_ends:
        return ["Ends of text: the token ids show that they are [CLS] and [SEP], which stay"]
    # The advice is for features of a language model that were stored without their token ids.
    return [
        "Ends of text: no token ids show that they are [CLS] and [SEP], so all frames may be lost; if they are, use a "
        'copy of the protocol with keep_ends = "always"'
    ]


def _steps_table(protocol: Protocol) -> Table:
    rows = []
    notes = []
    explained: dict[str, int] = {}  # the first step of each kind
    for number, step in enumerate(protocol.corruptions, 1):
        kind = kind_named(step["kind"])
        levels = [_level(step["levels"].get(m)) for m in MODALITIES]
        # Of files the names say more than their digests.
        values = {name: protocol.files[v].path if v in protocol.files else v for name, v in step["options"].items()}
        options = "".join(f", {name} = {as_toml(value)}" for name, value in values.items())
        rows.append((f"{number} {step['kind']}", *levels))
        first = explained.setdefault(step["kind"], number)
        meaning = kind.meaning if first == number else f"as step {first}"
        notes.append(f"{number} {kind.parameter}{options}: {meaning}")
    return Table("Steps, in order, with the level of each modality", ("step", *MODALITIES), tuple(rows), tuple(notes))


def _level(level: str | float | None) -> str:
    """A level as a number, the symbol of its axis, or the name of its variable."""
    if level is None:
        return _EMPTY
    return axis_symbol(level) if isinstance(level, str) else f"{level:g}"


def _points_table(protocol: Protocol) -> Table:
    rows = []
    for name, point in protocol.points.items():
        variables = [f"{_level(variable)}={value:g}" for variable, value in point.items() if value]
        rows.append((name, ", ".join(variables) or _EMPTY))
    return Table("Points: the variables that are not 0", ("condition", "variables"), tuple(rows))


# The effect.


def _modalities_table(effect: pd.DataFrame) -> Table:
    rows = []
    for name, part in _conditions(effect):
        rows.append((name, *_percents(part["missing"]), _percent(part["missing"].mean())))
    header = ("condition", *_modalities(effect), "mean")
    return Table("Samples in which nothing of a modality is left, %", header, tuple(rows))


def _frames_table(effect: pd.DataFrame) -> Table:
    rows = []
    for name, part in _conditions(effect):
        mean = _percent(part["frames"].mean())
        fully = _percent(part["fully"].iloc[0])  # the same in every row of the condition
        rows.append((name, *_percents(part["frames"]), mean, fully))
    header = ("condition", *_modalities(effect), "mean", "fully observed")
    return Table("Removed frames, % (mean share of a sample's valid frames)", header, tuple(rows), (FRAMES_NOTE,))


def _snr_table(effect: pd.DataFrame) -> Table:
    rows = []
    for name, part in _conditions(effect):
        rows.append((name, *map(_decibels, part["snr"])))
    header = ("condition", *_modalities(effect))
    return Table("Signal-to-noise ratio of the remaining frames, dB", header, tuple(rows), (SNR_NOTE,))


def _modalities(effect: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(effect["modality"]))  # distinct, in order


def _conditions(effect: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Name and rows of each condition, in the order of the protocol."""
    return [(str(name), part) for name, part in effect.groupby("condition", sort=False)]


def _percents(shares: Iterable[float]) -> list[str]:
    return [_percent(share) for share in shares]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _decibels(ratio: float) -> str:
    if np.isnan(ratio):
        return _EMPTY
    if np.isinf(ratio):
        return "−∞" if ratio < 0 else "∞"
    return f"{ratio:z.1f}"  # no negative zero
