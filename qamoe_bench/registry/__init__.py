"""Models by name, and what their modules declare about them.

Built-in and third-party models register alike, with one entry point in the `pyproject.toml` of their package:

    [project.entry-points."qamoe_bench.models"]
    my-model = "my_package.my_module:build"

A model without an entry point is named `package.module:build`. Either name takes settings, `name:setting,setting`; see
`qamoe_bench.registry.settings`. The module may declare variants (`VARIANTS`) and facts about the model (`CARD`, see
`qamoe_bench.registry.card`); both are read without importing the module, so that listing models never imports torch.
"""

from qamoe_bench.registry.card import ModelCard
from qamoe_bench.registry.groups import DEFAULT_GROUP, expand_groups, group_names, is_group
from qamoe_bench.registry.installed import models_for_task, models_in_print, models_with_roles, palette_places
from qamoe_bench.registry.models import ModelRef, find_model, model_refs
from qamoe_bench.registry.settings import without_evaluation

__all__ = [
    "DEFAULT_GROUP",
    "ModelCard",
    "ModelRef",
    "expand_groups",
    "find_model",
    "group_names",
    "is_group",
    "model_refs",
    "models_for_task",
    "models_in_print",
    "models_with_roles",
    "palette_places",
    "without_evaluation",
]
