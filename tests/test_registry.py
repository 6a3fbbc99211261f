"""Names of models, the settings that follow them, and the cards that models declare."""

import ast
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import qamoe_bench
from qamoe_bench.errors import BenchError
from qamoe_bench.figures.palette import COLOURS, styles
from qamoe_bench.provenance.location import source_of
from qamoe_bench.registry import (
    DEFAULT_GROUP,
    ModelCard,
    ModelRef,
    expand_groups,
    find_model,
    group_names,
    model_refs,
    models_in_print,
    models_with_roles,
    palette_places,
)
from qamoe_bench.registry.card import STYLES
from qamoe_bench.registry.declarations import declarations_of
from qamoe_bench.registry.models import ENTRY_POINTS, LIBRARIES, _installed_points
from qamoe_bench.run.grid import Grid
from qamoe_bench.run.presets import PRESETS

PACKAGE = Path(qamoe_bench.__file__).parent
BASELINES = PACKAGE.parent / "baselines" / "qamoe_baselines"
STATISTICS = {"mean", "mult", "gcnet", "mmin"}
"""Names of models that are a statistic's or a dialect's name as well, which any file may contain."""


def test_settings_follow_a_name() -> None:
    ref = find_model("qa-moe:-quality-gate,k=2,train.levels_per=batch,renormalise_gate=False,encoder=gru")
    assert ref.settings == {"quality": "none", "k": 2, "renormalise_gate": False, "encoder": "gru"}
    assert ref.training == {"levels_per": "batch"}
    assert ref.base == "qa-moe"
    assert ref.name.startswith("qa-moe:-quality-gate,k=2")
    assert find_model("qa-moe").settings == {}


def test_settings_follow_a_module_and_function() -> None:
    ref = find_model("qamoe_baselines.late_fusion:build:width=8")
    assert (ref.target, ref.settings) == ("qamoe_baselines.late_fusion:build", {"width": 8})
    assert ref.base == "qamoe_baselines.late_fusion:build:width=8"


def test_an_unknown_variant_names_the_nearest() -> None:
    with pytest.raises(BenchError, match="unknown variant of qa-moe '-quality'.*did you mean '-quality-gate'"):
        find_model("qa-moe:-quality")


def test_every_ablation_of_qa_moe_has_a_name() -> None:
    names = {"-quality-gate", "-fallback", "-experts", "-nll", "label-nll", "feature-nll"}
    assert names <= set(model_refs()["qa-moe"].variants())


def test_settings_of_the_evaluation_leave_the_weights_what_they_are() -> None:
    ref = find_model("qa-moe:k=2,bfloat16")
    assert ref.evaluation == {"precision": "bfloat16"}
    assert ref.settings == {"k": 2}
    assert ref.trained_name == find_model("qa-moe:eval.precision=bfloat16,k=2").trained_name == "qa-moe:k=2"
    assert find_model("qa-moe:bfloat16").trained_name == "qa-moe"
    mine = find_model("qamoe_baselines.late_fusion:build:eval.precision=bfloat16")
    assert mine.trained_name == "qamoe_baselines.late_fusion:build"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "guestpackage"
    folder.mkdir()
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "model.py").write_text("import json\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [n for n in sys.modules if n.startswith("guestpackage")]:
        del sys.modules[name]
    return folder


def test_variants_are_read_without_importing_and_must_be_written_out(package: Path) -> None:
    ref = ModelRef("guestpackage.model:build", "guestpackage.model:build")
    assert ref.variants() == {}
    (package / "model.py").write_text('VARIANTS: dict = {"small": {"width": 2}}\nraise RuntimeError\n', "utf-8")
    assert ref.variants() == {"small": {"width": 2}}
    (package / "model.py").write_text("VARIANTS = make()\n", encoding="utf-8")
    with pytest.raises(BenchError, match="VARIANTS in guestpackage.model to be a dictionary"):
        ref.variants()


CARD = """
CARD = {
    "groups": ("quick", "guests"),
    "published": {"C-MIB": "small", "Guest": ""},
    "presets": {"paper": {"width": 3}},
    "stages": {"text encoder": ("body.text",)},
    "style": 0,
}
raise RuntimeError  # never runs, because cards are read without importing the module
"""


@pytest.fixture
def guest(package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module of a third-party model `guest`, which is installed next to the built-in models."""
    points = [EntryPoint(name, ref.target, "") for name, ref in model_refs().items()]
    points.append(EntryPoint("guest", "guestpackage.model:build", ""))
    points.append(EntryPoint("vanished", "guestpackage.vanished:build", ""))  # its module is not there
    monkeypatch.setattr("qamoe_bench.registry.models._installed_points", lambda: points)
    module = package / "model.py"
    module.write_text(CARD, encoding="utf-8")
    return module


def test_a_third_party_model_declares_a_card(guest: Path) -> None:
    card = find_model("guest").card()
    assert card.presets == {"paper": {"width": 3}}
    assert card.stages == {"text encoder": ("body.text",)}
    assert models_in_print()["C-MIB"] == {"c-mib", "guest:small"}
    assert models_in_print()["Guest"] == {"guest"}
    assert expand_groups(["@guests"]) == ["guest"]
    assert "guest" in expand_groups(["@quick"])
    assert {"@all", "@guests", "@quick"} <= set(group_names())


def test_two_models_do_not_share_a_style(guest: Path) -> None:
    assert find_model("guest").card().style == find_model("qa-moe").card().style
    places = palette_places()
    assert len(set(places.values())) == len(places)
    looks = styles(["qa-moe", "guest", "unknown"])
    assert len(set(looks.values())) == 3


def test_a_model_without_a_card_has_an_empty_one(guest: Path) -> None:
    guest.write_text("def build(): ...\n", encoding="utf-8")
    assert find_model("guest").card() == ModelCard()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("make()", "CARD in guestpackage.model: expected a dictionary that is written out, got make\\(\\)"),
        ("('quick',)", "expected a dictionary that is written out"),
        ("{'grups': ('quick',)}", "unknown key of CARD in guestpackage.model 'grups'.*did you mean 'groups'"),
        ("{'groups': 'quick'}", "CARD\\['groups'\\] in guestpackage.model: expected a tuple of names.*got 'quick'"),
        ("{'groups': ('all',)}", "expected a tuple of names other than 'all'"),
        ("{'tasks': 'classes'}", "expected a tuple of tasks \\(regression, classes, multi-label\\), got 'classes'"),
        ("{'tasks': ('classes', 'ranking')}", "expected a tuple of tasks.*got \\('classes', 'ranking'\\)"),
        ("{'tasks': ()}", "expected a tuple of tasks.*got \\(\\)"),
        ("{'published': ('C-MIB',)}", "expected a dictionary from a method's name"),
        ("{'presets': {'paper': 128}}", "expected a dictionary from a preset's name"),
        ("{'stages': {'body': ('x',)}}", "expected a dictionary from a stage"),
        ("{'stages': {'heads': 'x'}}", "expected a dictionary from a stage"),
        ("{'style': 8}", "expected a whole number from 0 to 7, got 8"),
        ("{'style': True}", "expected a whole number from 0 to 7, got True"),
        ("{'year': '2022'}", "expected a year, got '2022'"),
        ("{'year': 22}", "expected a year, got 22"),
        ("{'venue': ''}", "expected a journal or conference, got ''"),
        ("{'parameters': -1}", "expected a whole number, got -1"),
        ("{'parameters': 1.5}", "expected a whole number, got 1.5"),
        ("{'role': 'referee'}", "expected one of control, floor, got 'referee'"),
    ],
)
def test_a_malformed_card_is_refused_with_its_reason(text: str, words: str, guest: Path) -> None:
    guest.write_text(f"CARD = {text}\n", encoding="utf-8")
    with pytest.raises(BenchError, match=words):
        find_model("guest").card()


def test_a_role_belongs_to_one_model(guest: Path) -> None:
    assert models_with_roles("control", "floor") == ("late-fusion", "mean")
    guest.write_text('CARD = {"role": "control"}\n', encoding="utf-8")
    with pytest.raises(BenchError, match=r"declare the role 'control' \(guest and late-fusion\)"):
        models_with_roles("control")


def test_no_role_without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qamoe_bench.registry.models._installed_points", lambda: ())
    assert models_with_roles("control", "floor") == ("", "")
    assert models_in_print() == {}
    assert len(set(styles(["qa-moe", "mean", "other"]).values())) == 3


def test_groups_expand_to_their_models() -> None:
    assert expand_groups(["@quick"]) == ["late-fusion", "mean", "qa-moe", "qa-moe-plus", "qa-moe-precise", "text-only"]
    assert set(expand_groups(["@paper"])) == {*expand_groups(["@quick"]), "c-mib", "mm-boosting", "sam-lml"}
    assert expand_groups(["@all"]) == [*model_refs()]
    assert expand_groups(["qa-moe:k=2", "@quick", "mean"])[:2] == ["qa-moe:k=2", "late-fusion"]
    assert expand_groups(["@quick:train.epochs=1"])[1] == "mean:train.epochs=1"
    with pytest.raises(BenchError, match="unknown group of models '@quik'.*did you mean '@quick'"):
        expand_groups(["@quik"])


def test_without_names_the_default_group_runs() -> None:
    (located,) = Grid(protocols=("random-missing",)).expand()
    assert list(located.request.models) == expand_groups([DEFAULT_GROUP])
    assert DEFAULT_GROUP == "@paper"


def test_every_built_in_model_has_a_group_and_tasks_and_one_in_print_year_and_venue() -> None:
    for ref in model_refs().values():
        card = ref.card()
        assert card.groups
        assert card.tasks
        assert bool(card.published) == (card.year is not None) == bool(card.venue)


def test_cards_of_the_built_in_models_fit_their_variants_and_the_presets() -> None:
    for ref in model_refs().values():
        card = ref.card()
        assert {v for v in card.published.values() if v} <= set(ref.variants())
        assert set(card.presets) <= set(PRESETS)
    # There are fewer styles than models; those that declare none get one by their place among the rows.
    assert sorted(palette_places().values()) == list(range(STYLES))
    assert len(COLOURS) > STYLES


def test_of_two_versions_of_a_package_the_first_on_the_path_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, builder in (("1", "guests.old:build"), ("2", "guests.new:build")):
        about = tmp_path / version / f"guests-{version}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: guests\nVersion: {version}\n")
        (about / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nguest = {builder}\n")
        monkeypatch.syspath_prepend(tmp_path / version)
    _installed_points.cache_clear()
    try:
        assert model_refs()["guest"].target == "guests.new:build"
        assert {"qa-moe", "late-fusion"} <= model_refs().keys()
    finally:
        _installed_points.cache_clear()


def texts(path: Path) -> list[str]:
    """Every string literal of a file except bare strings (docstrings) and help texts (arguments named `help`)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    exempt: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            exempt.add(id(node.value))
        if isinstance(node, ast.keyword) and node.arg == "help":
            exempt.update(id(inner) for inner in ast.walk(node.value))
    literals = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [str(node.value) for node in literals if id(node) not in exempt]


def names_in(path: Path) -> set[str]:
    """Names of built-in models that the string literals of a file contain as whole words."""
    names = set(model_refs()) - STATISTICS
    content = "\n".join(texts(path))
    return {name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", content)}


# A library has models of its own, some of which are built in as well.
OF_LIBRARIES = {source_of(module) for module in LIBRARIES.values()}
SOURCES = [p for p in PACKAGE.rglob("*.py") if PACKAGE / "models" not in p.parents and p not in OF_LIBRARIES]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_file_outside_the_models_knows_a_built_in_model_by_name(path: Path) -> None:
    assert not names_in(path)


@pytest.mark.parametrize("path", [*(PACKAGE / "models").glob("*.py"), *BASELINES.glob("*.py")], ids=lambda p: p.name)
def test_a_model_knows_no_other_model_by_name(path: Path) -> None:
    own = {name for name, ref in model_refs().items() if ref.source() == path}
    assert names_in(path) <= own


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("CARD = 1\n\n\nclass A:\n    pass\n", 1),
        ("class A:\n    pass\n\n\nCARD: int = 2\n", 2),
        ('"""Doc\n\nclass A: of a text\n"""\nCARD = 3\n', 3),
        ('"""Doc\n\ndef f(x) in a text\n"""\n\n\n@final\nclass A:\n    CARD = 4\n', None),
        ("", None),
    ],
)
def test_declarations_are_read_wherever_a_module_assigns_them(source: str, value: int | None, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    declared = declarations_of(path).value_of("CARD")
    assert (None if declared is None else ast.literal_eval(declared)) == value
    assert declarations_of(path).docstring.startswith("Doc") == ('"""' in source)
