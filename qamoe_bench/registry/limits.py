"""Names of the predictors that know the law of the data: they are limits for models, and no models themselves.

They are computed where the law is known (embedded data) and only on request, with `run --model NAME`. The row `oracle`,
which is told the corruption, is always there.
"""

from collections.abc import Mapping

INFERRING = "oracle-inferring"
"""Is told nothing about the corruption and infers it from the frames."""
BLIND = "oracle-blind"
"""Sees what is present and the projections of it that depend on the label, but nothing that shows the quality."""
ASSUMING_CLEAN = "oracle-assumes-clean"
"""Takes every frame for uncorrupted."""
PLUG_IN = "plug-in"
"""Is told the corruption, as the oracle is, and estimates the law's parameters from the training split."""

LIMITS: Mapping[str, str] = {
    INFERRING: "the oracle that is told nothing and infers the corruption from the frames",
    BLIND: "the best prediction without any sign of quality: no scatter and no number of frames",
    ASSUMING_CLEAN: "the oracle that takes corrupted samples for clean ones",
    PLUG_IN: "the oracle with the law's parameters estimated from the training split",
}
"""What each of them is, in a phrase."""

LIMITS_GROUP = "limits"
"""The group of all of them, as in `run --model @limits`."""
