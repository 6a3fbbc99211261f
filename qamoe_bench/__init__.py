"""Robustness benchmark of multimodal sentiment models with missing and noisy modalities.

Load
    load_data       a data set: the embedded one or a file, with its three splits
    load_model      a model by name, built for a data set, optionally with trained weights
    load_protocol   a protocol: a named list of conditions (missing rates, noise levels)

Evaluate
    evaluate        predictions of a trained model or a function under every condition of a protocol
    corrupt         the samples of a split under one condition, as every model receives them

Exchange
    export_samples       corrupted samples as files for other programs
    import_predictions   predictions that they made, stored and compared like any other

Analyse
    analyse         metrics with intervals, ranks and differences, from evaluations or stored results
    compare         results against a reference: significant losses, and missing or changed cells
    plot_curve      a metric over the levels of a protocol, as a matplotlib figure

Types
    Batch           the samples that a model receives
    ArrayBatch      the same as NumPy arrays, for functions
    Output          the predictions that a model returns
    DataSpec        the properties of a data set that a model is built from
    Protocol        a protocol
    Store           a results folder, as `qamoe-bench run` writes it
    BenchError      a mistake in an argument or a file, described in one line

Examples:
    >>> import qamoe_bench
    >>> model = qamoe_bench.load_model("mean", "synthetic")
    >>> evaluation = qamoe_bench.evaluate(model, "synthetic", "random-missing", seeds=(1111,))
    >>> table = evaluation.scores()  # a row per condition, a column per metric
    >>> round(float(table.loc["eta=0.3", "mae"]), 2)
    1.4

Names are imported on first use: `import qamoe_bench` loads neither torch nor matplotlib. The command line is
`qamoe-bench`, see `qamoe-bench --help`.
"""

# Type checkers take this name as true. Importing it from `typing` would take most of the time of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from qamoe_bench.adapters.arrays import ArrayBatch
    from qamoe_bench.api.data import corrupt, load_data
    from qamoe_bench.api.models import evaluate, load_model
    from qamoe_bench.api.results import analyse, compare, plot_curve
    from qamoe_bench.contract import Batch, DataSpec, Output
    from qamoe_bench.errors import BenchError
    from qamoe_bench.exchange.export import export_samples
    from qamoe_bench.exchange.imports import import_predictions
    from qamoe_bench.protocol.parse import load_protocol
    from qamoe_bench.protocol.spec import Protocol
    from qamoe_bench.store.store import Store

__version__ = "0.1.0"

__all__ = [
    "ArrayBatch",
    "Batch",
    "BenchError",
    "DataSpec",
    "Output",
    "Protocol",
    "Store",
    "analyse",
    "compare",
    "corrupt",
    "evaluate",
    "export_samples",
    "import_predictions",
    "load_data",
    "load_model",
    "load_protocol",
    "plot_curve",
]

_MODULES = {
    "ArrayBatch": "adapters.arrays",
    "Batch": "contract",
    "BenchError": "errors",
    "DataSpec": "contract",
    "Output": "contract",
    "Protocol": "protocol.spec",
    "Store": "store.store",
    "analyse": "api.results",
    "compare": "api.results",
    "corrupt": "api.data",
    "evaluate": "api.models",
    "export_samples": "exchange.export",
    "import_predictions": "exchange.imports",
    "load_data": "api.data",
    "load_model": "api.models",
    "load_protocol": "protocol.parse",
    "plot_curve": "api.results",
}


if not TYPE_CHECKING:  # or type checkers would accept any attribute

    def __getattr__(name: str) -> object:
        """Import an exported name on first use (PEP 562)."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value  # later accesses do not call this function
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
