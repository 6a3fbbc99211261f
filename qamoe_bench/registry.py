"""Models by name: entry points for built-in and third-party models alike, or `package.module:build`.

Listing reads names and docstrings only and imports no model. A package offers a model with one line,

    [project.entry-points."qamoe_bench.models"]
    my-model = "my_package.my_module:build"
"""

import ast
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qamoe_bench.errors import BenchError, unknown_name

GROUP = "qamoe_bench.models"


@dataclass(frozen=True)
class ModelRef:
    """A model that can be built: its name in tables and `module:attribute` of its builder."""

    name: str
    target: str

    @property
    def module(self) -> str:
        """The module that holds the builder."""
        return self.target.partition(":")[0]

    def source(self) -> Path:
        """The file of that module, found without importing it."""
        try:
            spec = find_spec(self.module)
        except (ImportError, ValueError):
            spec = None
        if spec is None or spec.origin is None:
            raise BenchError(
                f"model {self.name!r}: no module {self.module!r} can be found; install its package, or run from the "
                "folder that holds it"
            )
        return Path(spec.origin)

    def digest(self) -> str:
        """SHA-256 of the module's source: a changed model is another model."""
        return hashlib.sha256(self.source().read_bytes()).hexdigest()

    def summary(self) -> str:
        """First line of the module's docstring."""
        docstring = ast.get_docstring(ast.parse(self.source().read_text(encoding="utf-8"))) or ""
        return docstring.partition("\n")[0]

    def builder(self) -> Callable[..., Any]:
        """Import the module and get the builder, `build(spec) -> torch.nn.Module`."""
        self.source()
        module, _, attribute = self.target.partition(":")
        builder = getattr(import_module(module), attribute, None)
        if not callable(builder):
            raise BenchError(f"model {self.name!r}: expected a function {attribute!r} in {module}, got {builder!r}")
        return builder  # type: ignore[no-any-return]


def model_refs() -> Mapping[str, ModelRef]:
    """Every installed model by name; two models of one name are an error, for order must not decide."""
    refs: dict[str, ModelRef] = {}
    for point in entry_points(group=GROUP):
        ref = ModelRef(point.name, point.value)
        if refs.setdefault(point.name, ref) != ref:
            raise BenchError(
                f"two installed packages offer a model {point.name!r} ({refs[point.name].target} and {point.value}); "
                "uninstall one"
            )
    return dict(sorted(refs.items()))


def find_model(name: str) -> ModelRef:
    """A model by its name, or by `package.module:build`."""
    refs = model_refs()
    if name in refs:
        return refs[name]
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        return ModelRef(name, name)
    raise unknown_name("model", name, refs)
