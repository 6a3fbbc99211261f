"""What each row was trained on, and whether the evaluated corruption was part of it, from the facts in its cells."""

from collections.abc import Mapping

from qamoe_bench.analysis.section import Row, Section

HEADS = ("trained on", "seen")
# What trainings were made on before cells recorded it.
OF_REGIME: Mapping[str, str] = {"clean": "clean", "spectrum": "mixed", "matched": "each condition"}
UNKNOWN = "unknown"
SEEN_NOTE = (
    "seen: whether the corruption of this protocol occurred in training; kinds are compared by name, and another kind "
    "may leave similar samples"
)


def training_cells(row: Row) -> tuple[str, str]:
    """The cells of a row under `HEADS`."""
    if not row.is_trained:
        return "–", "–"
    facts = row.cells[0].facts.trained_on  # the same for all seeds
    if facts:
        return _place(row), facts["seen"]
    # Of weights that the user brings nothing is known, of older cells only the regime.
    return OF_REGIME.get(row.regime, UNKNOWN), "–" if row.regime in OF_REGIME else UNKNOWN


def training_notes(section: Section) -> tuple[str, ...]:
    """What `seen` means, how levels were drawn, and what was not seen; once for all rows that were trained alike."""
    notes: dict[str, None] = {}  # an ordered set
    for row in section.rows:
        facts = row.cells[0].facts.trained_on
        if not facts or not row.is_trained:
            continue
        parts = [facts["draw"]] if facts["draw"] else []
        if facts["unseen"]:
            parts.append(f"not seen: {', '.join(facts['unseen'])}")
        if parts:
            notes[f"{_place(row)}: {'; '.join(parts)}"] = None
    return (SEEN_NOTE, *notes) if notes else ()


def origin_notes(section: Section) -> tuple[str, ...]:
    """Where imported predictions come from, a note for each row of them."""
    notes = []
    for index, row in enumerate(section.rows):
        if row.is_imported:
            origin = row.cells[0].facts.imported  # the same for all seeds
            commit = f", commit {origin['commit']}" if origin.get("commit") else ""
            control = section.control_of(index)
            compared = "" if control is None else f"; Δ is the difference from {section.rows[control].name}"
            notes.append(f"{row.name}: made by {origin.get('tool') or 'a program without a name'}{commit}{compared}")
    return tuple(notes)


def _place(row: Row) -> str:
    facts = row.cells[0].facts.trained_on
    # The spectrum is wider than the protocol of its name.
    return "this protocol" if row.regime == "sweep" and facts["own"] else str(facts["on"])
