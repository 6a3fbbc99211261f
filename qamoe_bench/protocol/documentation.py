"""The tables of `protocols/README.md`, made from the known kinds and the protocol files.

    python -m qamoe_bench.protocol.documentation protocols/README.md

rewrites the tables of that file in place. Nothing here needs torch.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from qamoe_bench.protocol.kinds import CORRUPTION_KINDS, CorruptionKind
from qamoe_bench.protocol.parse import load_protocol, protocol_names
from qamoe_bench.protocol.spec import Protocol

_MOST_NAMES = 12
"""Names of conditions that a row of the table lists."""


def kinds_table() -> str:
    """One row per kind of corruption, in Markdown."""
    rows = [
        (f"`{name}`", f"`{kind.parameter}`", _traits(kind), kind.meaning) for name, kind in CORRUPTION_KINDS.items()
    ]
    return _table(("kind", "parameter", "effect", "definition"), rows)


def protocols_table() -> str:
    """One row per protocol of the package, in Markdown."""
    protocols = [load_protocol(name) for name in protocol_names()]
    return _table(("protocol", "conditions", "title"), [(f"`{p.name}`", _conditions(p), p.title) for p in protocols])


def with_tables(text: str) -> str:
    """The text with the table below each marker, such as `<!-- kinds -->`, replaced by the current one."""
    for name, table in (("kinds", kinds_table()), ("protocols", protocols_table())):
        start = f"<!-- {name} -->\n"
        end = f"<!-- end of {name} -->\n"
        before, opening, rest = text.partition(start)
        _, closing, after = rest.partition(end)  # the old table is dropped
        if not opening or not closing:
            raise ValueError(f"expected the lines {start.strip()!r} and {end.strip()!r}; add them around the table")
        text = f"{before}{start}\n{table}\n{end}{after}"
    return text


def _traits(kind: CorruptionKind) -> str:
    """What the kind does to frames, and whether it decides for all modalities together."""
    effects: list[str] = sorted(kind.effects)
    if kind.noise is not None:
        unit = "frame or utterance" if kind.noise.per == "either" else kind.noise.per
        chance = f" with probability {kind.noise.chance:g}" if kind.noise.chance < 1 else ""
        effects = [f"adds {kind.noise.law} noise per {unit}{chance}"]
    return ", ".join([*effects, "joint"] if kind.joint else effects)


def _conditions(protocol: Protocol) -> str:
    """The axes with their levels, the names of the points, or the single condition."""
    if protocol.points:
        names = list(protocol.points)
        # Of a long list the pattern of the names is enough.
        shown = names if len(names) <= _MOST_NAMES else [*names[:4], "…", f"{names[-1]} ({len(names)} in all)"]
        return ", ".join(shown)
    # Without axes there is a single condition.
    axes = [f"{axis} = {_numbers(levels)}" for axis, levels in protocol.axes.items()]
    return "; ".join(axes) or "1"


def _numbers(levels: Iterable[float]) -> str:
    return ", ".join(f"{level:g}" for level in levels)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    lines.insert(1, "|---" * len(head) + "|")
    return "".join(f"{line}\n" for line in lines)


def main() -> None:
    """Rewrite the tables of the file that is named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
