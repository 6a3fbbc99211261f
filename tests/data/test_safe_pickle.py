"""Plain data comes back as it was; everything else is refused, and nothing of it is ever executed."""

import pickle
import random
import struct
import sys
import tracemalloc
from collections import OrderedDict, defaultdict, deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qamoe_bench.data.pickles import safe_pickle
from qamoe_bench.errors import BenchError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ARRAYS: dict[str, NDArray[Any]] = {
    "float16": np.arange(6, dtype=np.float16).reshape(2, 3),
    "float32": np.array([[1.5, -np.inf], [np.nan, 0]], np.float32),
    "float64": np.linspace(0, 1, 24).reshape(2, 3, 4),
    "int64": np.array([-1, 2**40]),
    "uint8": np.array([0], np.uint8),
    "bool": np.array([True, False]),
    "big_endian": np.array([1.0, 2.0], ">f4"),
    "text": np.array(["a", "später", "日本"]),
    "bytes": np.array([b"a", b"bcd"]),
    "object": np.array(["a", "bc", None], dtype=object),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "transposed": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    "strided": np.arange(10.0)[::3],
    "empty": np.zeros((0, 5), np.float32),
    "zero_dimensions": np.array(2.5),
}


def load(tmp_path: Path, content: bytes) -> Any:  # whatever was pickled
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    return safe_pickle.load(path)


def refusal(tmp_path: Path, content: bytes) -> str:
    """The one line with which a pickle is refused."""
    with pytest.raises(BenchError) as caught:
        load(tmp_path, content)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{tmp_path / 'file.pkl'}: expected ")
    return message


def text(value: str) -> bytes:
    """Pushes a string, as protocol 4 does."""
    return b"\x8c" + bytes([len(value.encode())]) + value.encode()


def name(module: str, attribute: str) -> bytes:
    """Pushes a global, as protocol 4 does."""
    return text(module) + text(attribute) + b"\x93"


def dtype(code: str, order: str = "<", flags: int = 0) -> bytes:
    """Pushes a dtype."""
    made = name("numpy", "dtype") + text(code) + b"\x89\x88\x87R"
    return made + b"(K\x03" + text(order) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK" + bytes([flags]) + b"tb"


EMPTY = name("numpy._core.multiarray", "_reconstruct") + name("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"


def state(shape: bytes, described: bytes, content: bytes) -> bytes:
    """Gives the array on the stack its state."""
    return b"(K\x01" + shape + described + b"\x89" + content + b"tb"


def record(field: str, offset: int) -> bytes:
    """A dtype of one field `a` in items of 8 bytes; the field has no type if its code is empty."""
    described = dtype(field) + b"K" + bytes([offset]) + b"\x86" if field else b"N"
    fields = b"}" + text("a") + described + b"s"
    return (
        name("numpy", "dtype")
        + text("V8")
        + b"\x89\x88\x87R(K\x03"
        + text("|")
        + b"N"
        + (text("a") + b"\x85" + fields + b"K\x08K\x01K\x10tb")
    )


def masked(code: str, content: bytes, mask: bytes) -> bytes:
    """A masked array of one item."""
    made = name("numpy.ma.core", "_mareconstruct") + b"(" + name("numpy.ma", "MaskedArray") + name("numpy", "ndarray")
    return made + b"K\x00\x85C\x01btR(K\x01K\x01\x85" + dtype(code) + b"\x89" + content + mask + b"Ntb"


def program(body: bytes) -> bytes:
    return b"\x80\x04" + body + b"."


# Plain data.


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ARRAYS)
def test_array_comes_back_unchanged_when_loaded(kind: str, protocol: int, tmp_path: Path) -> None:
    array = ARRAYS[kind]
    got = load(tmp_path, pickle.dumps({"key": array}, protocol))["key"]
    assert got.dtype == array.dtype if protocol > 4 else array.dtype.newbyteorder("=")  # as NumPy has it
    assert got.shape == array.shape
    np.testing.assert_array_equal(got, array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_and_scalars_come_back_as_plain_ones_when_loaded(protocol: int, tmp_path: Path) -> None:
    content = [{1: "ä"}, (1, -(2**70), 2.5, None, True), {1, 2}, frozenset({3}), b"\x00\xff", b"", OrderedDict(a=1)]
    scalars = [np.float32(0.5), np.int64(3), np.str_("ab"), np.bytes_(b"c"), np.bool_(True)]
    assert load(tmp_path, pickle.dumps([content, scalars], protocol)) == [content, [0.5, 3, "ab", b"c", True]]


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("kind", ARRAYS)
def test_array_comes_back_when_numpy_1_wrote_it(kind: str, protocol: int, tmp_path: Path) -> None:
    old = pickle.dumps([ARRAYS[kind], np.float64(2)], protocol).replace(b"numpy._core.", b"numpy.core.")
    assert b"numpy.core.multiarray" in old
    got = load(tmp_path, old)
    np.testing.assert_array_equal(got[0], ARRAYS[kind])
    assert got[1] == 2


def test_array_comes_back_when_python_2_wrote_it(tmp_path: Path) -> None:
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    raw = np.array([1.5, -200.25], np.float32).tobytes()
    content = b"\x80\x02" + made + b"(K\x01K\x02\x85" + kind + b"\x89U\x08" + raw + b"tb."
    np.testing.assert_array_equal(load(tmp_path, content), np.array([1.5, -200.25], np.float32))


def test_nested_lists_come_back_when_long(tmp_path: Path) -> None:
    content = np.outer(np.arange(300.0), np.arange(100.0)).tolist()
    for protocol in PROTOCOLS:
        assert load(tmp_path, pickle.dumps(content, protocol)) == content


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_of_research_code_come_back_as_plain_ones(protocol: int, tmp_path: Path) -> None:
    counted: defaultdict[str, list[int]] = defaultdict(list, {"a": [1]})
    assert load(tmp_path, pickle.dumps((counted, deque([1, 2], maxlen=5), deque()), protocol)) == (
        {"a": [1]},
        [1, 2],
        [],
    )
    # A dict with attributes, as EasyDict and its kin pickle it.
    made = program(name("easydict", "EasyDict") + b")\x81" + text("a") + b"K\x02s}" + text("a") + b"K\x03sb")
    assert load(tmp_path, made) == {"a": 2}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_masked_and_record_and_text_arrays_come_back(protocol: int, tmp_path: Path) -> None:
    values = np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]])
    for array in (values, values.T):  # the transposed one is stored in Fortran's order
        np.testing.assert_array_equal(load(tmp_path, pickle.dumps(array, protocol)), array.filled(np.nan))
    whole = np.ma.masked_array([1, 2], mask=False)
    np.testing.assert_array_equal(load(tmp_path, pickle.dumps(whole, protocol)), [1, 2])
    assert "no missing value" in refusal(
        tmp_path, pickle.dumps(np.ma.masked_array([1, 2], mask=[True, False]), protocol)
    )
    clips = np.array([("v1", 1.5), ("ü2", 2.5)], [("video", "U4"), ("start", "f8")])
    assert load(tmp_path, pickle.dumps(clips, protocol)).tolist() == clips.tolist()
    words = np.array(["a", "longer than sixteen bytes"], np.dtypes.StringDType())
    assert load(tmp_path, pickle.dumps(words, protocol)).tolist() == words.tolist()


def test_what_happened_to_a_file_is_said(tmp_path: Path) -> None:
    content = pickle.dumps({"train": [1.5] * 40, "test": "x" * 100}, 0)
    assert load(tmp_path, content)["train"] == [1.5] * 40
    assert "copy it again as binary" in refusal(tmp_path, content.replace(b"\n", b"\r\n"))
    assert "store their objects as one dict" in refusal(tmp_path, pickle.dumps([1], 4) * 2)
    for table in (b"id,text,label\na,b,1\n", b"label\tid\n1\ta\n", b"clip;1\n", b'[{"id": 1}]'):
        assert "it is text that begins with" in refusal(tmp_path, table)
    assert "text" not in refusal(tmp_path, content[:50])  # half of a pickle that is text itself
    half = pickle.dumps(np.ones(500), 4)[:2000]
    assert "at byte 2000" in refusal(tmp_path, half)


def test_array_is_read_only_when_loaded(tmp_path: Path) -> None:
    # It may share memory with bytes objects, of which Python itself keeps the short ones for reuse.
    got = load(tmp_path, pickle.dumps([np.array([65], np.uint8), np.ones(3)], 4))
    assert not any(a.flags.writeable for a in got)


# Hostile content. Every one of these would leave the marker behind if it were executed.


class Acts:
    """An object whose pickle calls something."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:  # what pickle documents
        return self.call


def hostile(marker: Path) -> dict[str, tuple[bytes, str]]:
    """Pickles that touch the marker, each with the name that must be complained about."""
    command = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w').close()"
    quoted = text(command)
    line = f"V{command}\n".encode()
    opened = b"(" + text(str(marker)) + text("w") + b"t"
    getattr_system = name("builtins", "getattr") + name("os", "sys") + text("modules") + b"\x86R"
    return {
        "reduce": (b"cos\nsystem\n(" + line + b"tR.", "os.system"),
        "reduce_protocol_4": (program(name("posix", "system") + quoted + b"\x85R"), "posix.system"),
        "inst": (b"(" + line + b"ios\nsystem\n.", "os.system"),
        "obj": (program(b"(" + name("os", "system") + quoted + b"o"), "os.system"),
        "newobj": (program(name("subprocess", "Popen") + text("touch") + b"\x85\x81"), "subprocess.Popen"),
        "eval": (program(name("builtins", "eval") + text(code) + b"\x85R"), "builtins.eval"),
        "exec_python_2": (b"c__builtin__\nexec\n(V" + code.encode() + b"\ntR.", "__builtin__.exec"),
        "open": (program(name("io", "open") + opened + b"R"), "io.open"),
        "getattr_chain": (program(getattr_system + b"0"), "builtins.getattr"),
        "dotted": (program(name("numpy", "dtype.__class__") + b")R"), "numpy.dtype.__class__"),
        "dotted_module": (program(name("numpy", "f2py.os.system") + quoted + b"\x85R"), "numpy.f2py.os.system"),
        "dotted_allowed": (
            program(name("collections", "OrderedDict.fromkeys") + b"])\x86R"),
            "collections.OrderedDict.fromkeys",
        ),
        "import_by_name": (program(name("harmful", "thing")), "harmful.thing"),
        "numpy_loader": (program(name("numpy", "load") + quoted + b"\x85R"), "numpy.load"),
        "after_data": (
            program(pickle.dumps([1.0] * 50, 4)[2:-1] + b"0" + name("os", "system") + quoted + b"\x85R"),
            "os.system",
        ),
    }


@pytest.mark.parametrize("kind", hostile(Path("marker")))
def test_nothing_is_executed_when_a_pickle_is_hostile(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "harmful.py").write_text(f"open({str(marker)!r}, 'w').close()\nthing = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    content, complaint = hostile(marker)[kind]
    message = refusal(tmp_path, content)
    assert f"refers to {complaint};" in message
    assert "nothing was executed" in message
    assert not marker.exists()
    assert "harmful" not in sys.modules


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_is_executed_when_an_object_reduces_to_a_call(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = {"train": {"text": np.ones((2, 3)), "id": Acts(eval, f"open({str(marker)!r}, 'w').close()")}}
    assert "eval" in refusal(tmp_path, pickle.dumps(content, protocol))
    assert not marker.exists()


def test_marker_appears_when_the_standard_unpickler_runs_the_same_file(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickle.loads(hostile(marker)["eval"][0])
    assert marker.exists()


def test_name_is_shown_harmlessly_when_it_is_hostile_itself(tmp_path: Path) -> None:
    message = refusal(tmp_path, program(name("os\n\x1b[2J", "system\u202e" + "x" * 200)))
    assert message.isprintable()
    assert len(message) < 500


# Tricks with what is allowed.

TRICKS = {
    "state_of_a_name": name("numpy", "dtype") + b"}" + text("__call__") + b"Ksb",
    "attributes_of_a_name": name("numpy", "ndarray") + b"N}" + text("x") + b"K\x01s\x86b",
    "direct_array": name("numpy", "ndarray") + b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85\x85R",
    "array_class_as_type": name("numpy", "ndarray") + b"K\x02\x85\x81",
    "objects_from_bytes": EMPTY + state(b"K\x01\x85", dtype("O8", "|", 0), b"C\x08AAAAAAAA"),
    "objects_from_a_buffer": name("numpy._core.numeric", "_frombuffer")
    + b"(C\x08AAAAAAAA"
    + dtype("O8", "|")
    + b"K\x01\x85"
    + text("C")
    + b"tR",
    "object_scalar": name("numpy._core.multiarray", "scalar") + dtype("O8", "|") + b"C\x08AAAAAAAA\x86R",
    "list_shorter_than_shape": EMPTY + state(b"M\xe8\x03\x85", dtype("O8", "|", 63), b"]K\x01a"),
    "raw_memory": EMPTY + state(b"K\x01\x85", dtype("V8"), b"C\x08AAAAAAAA"),
    "field_beyond_the_item": EMPTY + state(b"K\x01\x85", record("f8", 1), b"C\x08AAAAAAAA"),
    "field_of_objects": EMPTY + state(b"K\x01\x85", record("O8", 0), b"C\x08AAAAAAAA"),
    "field_of_fields": EMPTY + state(b"K\x01\x85", record("V8", 0), b"C\x08AAAAAAAA"),
    "field_with_impossible_character": EMPTY + state(b"K\x01\x85", record("U2", 0), b"C\x08AAAA\xff\xff\xff\xff"),
    "field_without_type": EMPTY + state(b"K\x01\x85", record("", 0), b"C\x08AAAAAAAA"),
    "mask_of_another_size": masked("f8", b"C\x08AAAAAAAA", b"C\x02\x00\x01"),
    "masked_text": masked("U2", b"C\x08A\x00\x00\x00A\x00\x00\x00", b"C\x01\x01"),
    "masked_objects": masked("O8", b"C\x08AAAAAAAA", b"C\x01\x01"),
    "called_default": name("builtins", "list") + b"]\x85R",
    "large_attribute_dict": name("easydict", "EasyDict") + b"]\x85R",
    "queue_of_something": name("collections", "deque") + b"]K\x01a\x85R",
    "defaults_of_something": name("collections", "defaultdict") + b"K\x01\x85R",
    "fields": name("numpy", "dtype")
    + text("f8")
    + b"\x89\x88\x87R(K\x03"
    + text("<")
    + b"N"
    + text("a")
    + b"\x85}K\x08K\x01K\x10tb",
    "negative_shape": EMPTY + state(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86", dtype("f8"), b"C\x08AAAAAAAA"),
    "second_state": EMPTY + state(b"K\x01\x85", dtype("i1"), b"C\x01A") + state(b"K\x01\x85", dtype("i1"), b"C\x01B"),
    "item_of_an_array": EMPTY + state(b"K\x01\x85", dtype("i1"), b"C\x01A") + b"K\x00K\x01s",
    "impossible_character": EMPTY + state(b"K\x01\x85", dtype("U1"), b"C\x04\xff\xff\xff\xff"),
    "other_encoding": name("_codecs", "encode") + text("x") + text("idna") + b"\x86R",
    "default_encoding": name("_codecs", "encode") + text("x") + b"\x85R",
    "bytes_of_a_count": name("builtins", "bytes") + b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85R",
    "persistent_id": text("x") + b"Q",
    "extension": b"\x82\x01",
    "buffer_out_of_band": b"\x97",
    "view_of_an_array": EMPTY + b"\x98",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_allowed_names_give_no_power_when_misused(trick: str, tmp_path: Path) -> None:
    refusal(tmp_path, program(TRICKS[trick]))
    good = np.array([b"A", b"B"])
    np.testing.assert_array_equal(load(tmp_path, pickle.dumps(good)), good)
    assert bytes([65]) == b"A"


# Content that would take the machine's memory, or its stack.

GREEDY = {
    "shape": EMPTY + state(b"\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85", dtype("f8"), b"C\x00"),
    "object_shape": EMPTY + state(b"\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85", dtype("O8", "|", 63), b"]"),
    "empty_items": EMPTY + state(b"\x8a\x06\x00\x10\xa5\xd4\xe8\x00\x85", dtype("U0"), b"C\x00"),
    "buffer_shape": name("numpy._core.numeric", "_frombuffer")
    + b"(C\x00"
    + dtype("f8")
    + b"J\xff\xff\xff\x7f\x85"
    + text("C")
    + b"tR",
    "wide_items": EMPTY + state(b"K\x01\x85", dtype("S999999999"), b"C\x00"),
    "memo_index": b"Nr\x00\x00\x00\x10",
    "memo_index_as_text": b"Np300000000\n",
    "claimed_bytes": b"\x8e" + struct.pack("<Q", 2**32) + b"abc",
    "claimed_text": b"\x8d" + struct.pack("<Q", 2**62) + b"abc",
    "claimed_frame": b"\x95" + struct.pack("<Q", 2**33) + b"N",
    "negative_length": b"T\xff\xff\xff\xff",
}
NESTED_TUPLES = {
    "as_key": b"})" + b"\x85" * 1_000_000 + b"Ns",
    "through_the_memo": b"}(t\x940" + b"h\x00\x85q\x000" * 200_000 + b"h\x00Ns",
    "in_a_set": b"\x8f()" + b"N\x86" * 1_000_000 + b"\x90",
    "in_arguments": b"})q\x00" + (name("numpy", "dtype") + text("f4") + b"h\x00\x86q\x00R0") * 60_000 + b"Ns",
}


@pytest.mark.parametrize("kind", GREEDY)
def test_memory_stays_small_when_a_pickle_claims_much(kind: str, tmp_path: Path) -> None:
    content = program(GREEDY[kind])
    (tmp_path / "file.pkl").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(BenchError):
            safe_pickle.load(tmp_path / "file.pkl")
        assert tracemalloc.get_traced_memory()[1] < 2**20 + 100 * len(content)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", NESTED_TUPLES)
def test_stack_does_not_overflow_when_tuples_are_nested(kind: str, tmp_path: Path) -> None:
    refusal(tmp_path, program(NESTED_TUPLES[kind]))


def test_deep_lists_are_loaded_or_refused_when_nested_beyond_the_recursion_limit(tmp_path: Path) -> None:
    depth = 100_000
    got = load(tmp_path, program(b"]" * depth + b"a" * (depth - 1)))
    for _ in range(depth - 1):
        (got,) = got
    assert got == []


def test_list_that_holds_itself_is_loaded_without_end(tmp_path: Path) -> None:
    got = load(tmp_path, program(b"]\x94h\x00a"))
    assert got[0] is got


# What is no pickle.

SAMPLE = {"train": {"text": np.ones((2, 3), np.float16), "id": ["a", "b"], "n": (np.float32(1), b"x", 2**40)}}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickle_is_refused_when_cut_anywhere(protocol: int, tmp_path: Path) -> None:
    whole = pickle.dumps(SAMPLE, protocol)
    for end in range(0, len(whole), 5):
        refusal(tmp_path, whole[:end])
    refusal(tmp_path, whole[:-1])


@pytest.mark.parametrize("protocol", [2, 5])
def test_pickle_is_loaded_or_refused_when_a_byte_is_wrong(protocol: int, tmp_path: Path) -> None:
    whole = pickle.dumps(SAMPLE, protocol)
    source = random.Random(0)
    for at in range(0, len(whole), 3):
        broken = bytearray(whole)
        broken[at] = source.randrange(256)
        with suppress(BenchError):
            load(tmp_path, bytes(broken))


@given(st.binary(max_size=60))
def test_any_bytes_are_loaded_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pkl"
    path.write_bytes(content)
    with suppress(BenchError):
        safe_pickle.load(path)


@pytest.mark.parametrize("content", [b"", b"\n", b"PK\x03\x04zip", b"a,b\n1,2\n", b"\x80\x7fN.", b"\x89HDF\r\n", b"."])
def test_file_is_refused_when_it_is_no_pickle(content: bytes, tmp_path: Path) -> None:
    assert "complete pickle" in refusal(tmp_path, content)


def test_path_is_refused_when_nothing_or_a_folder_is_there(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="got no such file; check the path"):
        safe_pickle.load(tmp_path / "absent.pkl")
    with pytest.raises(BenchError, match="got a folder"):
        safe_pickle.load(tmp_path)
    with pytest.raises(BenchError, match="expected a readable file"):
        safe_pickle.load(tmp_path / ("x" * 1000))
