"""Files of other repositories that hold no data set, with the way from each to one."""

from collections.abc import Sequence

import numpy as np

# Seven arrays by dialogue in bc-LSTM and its successors, three in Cross-Modal-BERT, and lists by video in GCNet.
_DIALOGUES = (
    "utterances by dialogue (bc-LSTM)",
    "take the data set in the layout of MMSA, or of MERBench",
)
_AUDIO_ALONE = (
    "audio alone, whose words and labels are in other files (Cross-Modal-BERT)",
    "join them in a pickle of train, valid and test with audio, raw_text, labels and id",
)
_BY_VIDEO = "ids, labels and folds by video (GCNet, MoMKE)", "give the folder that holds this file and 'features'"
_ONE_SPLIT = (
    "the samples of one split",
    "put it beside the others as train.pkl, valid.pkl and test.pkl into a folder, and give the folder",
)
_BY_SAMPLE = (
    "a dict by sample (UR-FUNNY, MUStARD), without splits",
    "store train, valid and test with features, labels and id",
)
_TABLES = "arrays for other programs", "store them as train, valid and test with text, audio, vision, labels and id"


def known_layout(value: object) -> tuple[str, str] | None:
    """What an object of another repository is, and what to do with it; None if it is unknown."""
    if isinstance(value, dict):
        return _BY_SAMPLE if _is_by_sample(value) else None
    if not isinstance(value, list | tuple) or not value:
        return _TABLES if isinstance(value, np.ndarray) else None
    if all(isinstance(item, np.ndarray | list) for item in value[:2]) and len(value) in (7, 8) and _has_arrays(value):
        return _DIALOGUES
    if len(value) == 3 and all(isinstance(item, np.ndarray) for item in value):
        return _AUDIO_ALONE
    if len(value) in (6, 7) and isinstance(value[0], dict) and isinstance(value[1], dict):
        return _BY_VIDEO
    return _ONE_SPLIT if isinstance(value[0], list | tuple) and len(value[0]) >= 2 else None


def _has_arrays(value: Sequence[object]) -> bool:
    return any(isinstance(item, np.ndarray) for item in value)


def _is_by_sample(value: dict[object, object]) -> bool:
    """Whether the values are dicts of single samples, recognised by the keys of such files."""
    parts = list(value.values())[:5]
    keys = {key for part in parts if isinstance(part, dict) for key in part}
    return bool(keys & {"punchline_features", "context_features", "punchline_sentence", "utterance", "sarcasm"})
