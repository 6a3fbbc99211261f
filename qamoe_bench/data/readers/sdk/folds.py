"""The assignment of videos to splits: the standard folds of CMU-MultimodalSDK.

Those of CMU-MOSI are built in. Those of other data sets are read from a file in the folder of the sequences: either the
SDK's own `..._std_folds.py`, which is parsed and never executed, or a JSON file of
`{"train": [...], "valid": [...], "test": [...]}`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.errors import BenchError

# Largest size of a file of folds in bytes; that of CMU-MOSEI has about 50,000.
_MAX_FILE_BYTES = 2**22

# Source: `standard_folds` of CMU-MOSI in CMU-MultimodalSDK.
MOSI: Mapping[str, Sequence[str]] = {
    "train": """
        2iD-tVS8NPw 8d-gEyoeBzc Qr1Ca94K55A Ci-AH39fi3Y 8qrpnFRGt2A Bfr499ggo-0 QN9ZIUWUXsY 9T9Hf74oK10
        7JsX8y1ysxY 1iG0909rllw Oz06ZWiO20M BioHAh1qJAQ 9c67fiY0wGQ Iu2PFX3z_1s Nzq88NnDkEk Clx4VXItLTE
        9J25DZhivz8 Af8D0E4ZXaw TvyZBvOMOTc W8NXH0Djyww 8OtFthrtaJM 0h-zjBukYpk Vj1wYRQjB-o GWuJjcEuzt8
        BI97DNYfe5I PZ-lDQFboO8 1DmNV9C1hbY OQvJTdtJ2H4 I5y0__X72p0 9qR7uwkblbs G6GlGvlkxAQ 6_0THN4chvY
        Njd1F0vZSm4 BvYR0L6f2Ig 03bSnISJMiM Dg_0XKD0Mf4 5W7Z1C_fDaE VbQk4H8hgr0 G-xst2euQUc MLal-t_vJPM
        BXuRRbG0Ugk LSi-o-IrDMs Jkswaaud0hk 2WGyTLYerpo 6Egk_28TtTM Sqr0AcuoNnk POKffnXeBds 73jzhE8R1TQ
        OtBXNcAL_lE HEsqda8_d0Q VCslbP0mgZI IumbAb8q2dM
    """.split(),  # noqa: SIM905
    "valid": """
        WKA5OygbEKI c5xsKMxpXnc atnd_PF-Lbs bvLlb-M3UXU bOL9jKpeJRs _dI--eQ6qVU ZAIRrfG22O0 X3j2zQgwYgE
        aiEXnCPZubE ZUXBRvtny7o
    """.split(),  # noqa: SIM905
    "test": """
        tmZoasNr4rU zhpQhgha_KU lXPQBPVc5Cw iiK8YX8oH1E tStelxIAHjw nzpVDcQ0ywM etzxEpPuc6I cW1FSBF59ik
        d6hH302o4v8 k5Y_838nuGo pLTX3ipuDJI jUzDDGyPkXU f_pcplsH_V0 yvsjCA6Y5Fc nbWiPyCm4g0 rnaNMUZpvvg
        wMbj6ajWbic cM3Yna7AavY yDtzw_Y-7RU vyB00TXsimI dq3Nf_lMPnE phBUpBr1hSo d3_k5Xpfmik v0zCBqDeKcE
        tIrG4oNLFzE fvVhgmXxadc ob23OKe5a9Q cXypl4FnoZo vvZ4IcEtiZc f9O3YtZ2VfI c7UH_rxdZv4
    """.split(),  # noqa: SIM905
}


def folds_of(path: Path, videos: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """The videos of each split, from a file in the folder if there is one, otherwise the standard folds of CMU-MOSI.

    Args:
        path: The folder of the sequences, or their file, in whose folder the file of folds may lie.
        videos: Names of the videos that have labels.

    Raises:
        BenchError: The file contains no folds, or there is no file and the videos are not those of CMU-MOSI.
    """
    folder = path if path.is_dir() else path.parent
    files = sorted(p for p in folder.iterdir() if _is_file_of_folds(p))
    if len(files) > 1:
        raise BenchError(f"{folder}: expected one file of folds, got {files[0].name} and {files[1].name}; remove one")
    if files:
        return _folds_in(files[0])
    names = set(videos)
    if names.intersection(set().union(*MOSI.values())):
        return MOSI
    quoted = ascii(min(names, default=""))[:40]
    raise BenchError(
        f"{path}: expected videos of CMU-MOSI or a file of folds, got others, such as {quoted}, and no such file; "
        'put the ..._std_folds.py of CMU-MultimodalSDK, or a folds.json of {"train": [video, ...], "valid": [...], '
        f'"test": [...]}}, into {"the" if path.is_dir() else "its"} folder'
    )


def _is_file_of_folds(path: Path) -> bool:
    """Whether a file is called like one, such as the SDK's `cmu_mosei_std_folds.py` or MultiBench's `mosi_split.py`."""
    name = path.stem.lower()
    return path.suffix in (".py", ".json") and not name.startswith(".") and ("fold" in name or name.endswith("_split"))


def _folds_in(path: Path) -> Mapping[str, Sequence[str]]:
    """The folds in a file."""
    try:
        folds = _parsed(path)
    except OSError as error:
        raise BenchError(f"{path}: expected a readable file, got {error.strerror}; check its permissions") from error
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or nested too deep
        folds = None
    if not (isinstance(folds, dict) and all(_is_names(folds.get(name)) for name in SPLITS)):
        raise BenchError(
            f"{path}: expected lists of video names for train, valid and test, got something else; take the SDK's "
            'file, or write {"train": [...], "valid": [...], "test": [...]}'
        )

    # A video in two splits would leak its speaker from train to test.
    splits_of = Counter[str]()
    for name in SPLITS:
        splits_of.update(set(folds[name]))
    video, splits = splits_of.most_common(1)[0]
    if splits > 1:
        raise BenchError(f"{path}: expected each video in one split, got {video[:40]!r} in two; remove it from one")
    return {name: folds[name] for name in SPLITS}


def _parsed(path: Path) -> Any:
    """The content of a file of folds, of any type if it is JSON."""
    if not path.is_file() or path.stat().st_size > _MAX_FILE_BYTES:
        raise ValueError(f"{path} is no file of folds")
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        folds = json.loads(text)
        for other_name in ("val", "dev"):
            if isinstance(folds, dict) and other_name in folds:
                folds.setdefault("valid", folds[other_name])
        return folds
    return {name: _python_list(text, name) for name in SPLITS}


def _python_list(text: str, name: str) -> list[str] | None:
    """The strings of `standard_<name>_fold = [...]` in Python source, without executing it."""
    assignment = re.search(rf"\b(?:standard_)?{name}_fold\s*=\s*\[([^\]]*)\]", text)
    if assignment is None:
        return None
    strings = re.findall(r"'([^'\n]*)'|\"([^\"\n]*)\"", assignment[1])
    return [single or double for single, double in strings]


def _is_names(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
