"""Which video belongs to which split: the standard folds of CMU-MultimodalSDK.

Those of CMU-MOSI are here. Those of other data sets are read from a file beside the sequences: the SDK's own
`..._std_folds.py`, whose lists are read and which is never executed, or a JSON file of
`{"train": [...], "valid": [...], "test": [...]}`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.errors import BenchError

LARGEST = 2**22
"""Bytes of a file of folds; that of CMU-MOSEI has some fifty thousand."""

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


def folds_of(folder: Path, videos: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """The videos of each split, as a file in the folder says, else the standard ones.

    Raises:
        BenchError: for a file that holds no folds, or videos that no fold is known for.
    """
    files = sorted(p for p in folder.iterdir() if "fold" in p.name.lower() and p.suffix in (".py", ".json"))
    if len(files) > 1:
        raise BenchError(f"{folder}: expected one file of folds, got {files[0].name} and {files[1].name}; remove one")
    if files:
        return _folds_in(files[0])
    if {*videos} & {v for fold in MOSI.values() for v in fold}:
        return MOSI
    raise BenchError(
        f"{folder}: expected videos of CMU-MOSI or a file of folds, got neither; put the ..._std_folds.py of "
        "CMU-MultimodalSDK, or a folds.json of lists named train, valid and test, into the folder"
    )


def _folds_in(path: Path) -> Mapping[str, Sequence[str]]:
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            raise ValueError
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else {name: _python_list(text, name) for name in SPLITS}
    except OSError as error:
        raise BenchError(f"{path}: expected a readable file, got {error.strerror}; check who may read it") from error
    except (ValueError, RecursionError):
        found = None
    if not (isinstance(found, dict) and all(_is_names(found.get(name)) for name in SPLITS)):
        raise BenchError(
            f"{path}: expected lists of video names for train, valid and test, got something else; take the SDK's "
            'file, or write {"train": [...], "valid": [...], "test": [...]}'
        )
    splits_of = Counter(v for name in SPLITS for v in {*found[name]})
    if splits_of.total() > len(splits_of):
        video = splits_of.most_common(1)[0][0]
        raise BenchError(f"{path}: expected each video in one split, got {video[:40]!r} in two; remove it from one")
    return {name: found[name] for name in SPLITS}


def _python_list(text: str, name: str) -> list[str] | None:
    """The strings of `standard_<name>_fold = [...]`, without executing anything."""
    match = re.search(rf"\bstandard_{name}_fold\s*=\s*\[([^\]]*)\]", text)
    return [a or b for a, b in re.findall(r"'([^'\n]*)'|\"([^\"\n]*)\"", match[1])] if match else None


def _is_names(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)
