"""Breaking data files: bytes of any file, and what pickles, manifests and HDF5 files hold."""

import hashlib
import json
import math
import pickle
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Random = random.Random
NUMBERS = (0, 1, -1, 2, 127, 255, 256, 65535, 2**31 - 1, -(2**31), 2**32, 2**40, 2**63 - 1, 10**5000)


def mutate(source: Path, target: Path, chance: Random) -> Path:
    """A broken copy of a file or folder in an empty folder."""
    path = target / source.name
    if source.is_file():
        # HDF5 files need the folds next to them.
        shutil.copytree(source.parent, target, dirs_exist_ok=True)
        _mutate_file(path, chance)
        return path
    shutil.copytree(source, path)
    file = chance.choice([p for p in sorted(path.rglob("*")) if p.is_file()])
    if file.suffix in OBJECTS:
        _mutate_file(file, chance)
    elif file.suffix == ".json" and chance.random() < 0.6:
        content = json.loads(file.read_text(encoding="utf-8"))
        for _ in range(chance.randint(1, 3)):
            content = _changed(content, chance, PLAIN)
        with suppress(ValueError, RecursionError, TypeError, UnicodeEncodeError):
            file.write_text(json.dumps(content, default=str), encoding="utf-8")
    elif _is_pickle(file) and chance.random() < 0.5:
        _objects(file, chance)
    elif chance.random() < 0.1:
        file.unlink()
    else:
        _bytes(file, chance)
    if chance.random() < 0.7:
        _vouch(path, file)
    return path


def _is_pickle(path: Path) -> bool:
    """Whether it is a pickle that is not compressed."""
    return path.read_bytes()[:1] == pickle.PROTO


OBJECTS = (".pkl", ".npz", ".csd", ".hdf5")


def _mutate_file(path: Path, chance: Random) -> None:
    """Something in a file that holds objects, or some of its bytes, replaced."""
    if chance.random() > 0.6:
        _bytes(path, chance)
    elif path.suffix == ".npz":
        _archive(path, chance)
    elif path.suffix in (".csd", ".hdf5"):
        _hdf5(path, chance)
    elif _is_pickle(path):
        _objects(path, chance)
    else:
        _bytes(path, chance)


def _vouch(folder: Path, file: Path) -> None:
    """Let the manifest of our own format tell the hash of what the file now holds, so that it is looked at."""
    manifest = folder / "manifest.json"
    if not manifest.exists() or not file.exists() or file == manifest:
        return
    split, key, kind = (*file.name.split("."), "", "")[:3]
    listing = json.loads(manifest.read_text(encoding="utf-8"))
    content = file.read_bytes()
    if kind == "npy":
        listing["splits"][split]["arrays"][key]["sha256"] = hashlib.sha256(content[128:]).hexdigest()
    else:
        listing["splits"][split]["texts"][key] = hashlib.sha256(content).hexdigest()
    manifest.write_text(json.dumps(listing), encoding="utf-8")


# Bytes.


def _bytes(path: Path, chance: Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        if content:
            chance.choice(BYTE_CHANGES)(content, chance)
    path.write_bytes(content)


def _flip(content: bytearray, chance: Random) -> None:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _set(content: bytearray, chance: Random) -> None:
    content[chance.randrange(len(content))] = chance.randrange(256)


def _number(content: bytearray, chance: Random) -> None:
    width = chance.choice((1, 2, 4, 8))
    at = chance.randrange(len(content))
    content[at : at + width] = (chance.choice(NUMBERS[:-1]) % 256**width).to_bytes(width, "little")


def _cut(content: bytearray, chance: Random) -> None:
    at = chance.randrange(len(content))
    del content[at : at + chance.choice((1, 4, 64, len(content)))]


def _repeat(content: bytearray, chance: Random) -> None:
    at = chance.randrange(len(content))
    size = chance.choice((1, 8, 64, 512))
    content[at:at] = content[at : at + size] * chance.choice((1, 2, 50))


def _move(content: bytearray, chance: Random) -> None:
    source = chance.randrange(len(content))
    at = chance.randrange(len(content))
    size = chance.choice((1, 8, 64))
    content[at : at + size] = content[source : source + size]


BYTE_CHANGES: tuple[Callable[[bytearray, Random], None], ...] = (_flip, _set, _number, _cut, _repeat, _move)


# Objects.


def _objects(path: Path, chance: Random) -> None:
    content = pickle.loads(path.read_bytes())  # our own seed
    for _ in range(chance.randint(1, 4)):
        content = _changed(content, chance, STRANGE)
    with suppress(ValueError, RecursionError, TypeError):
        path.write_bytes(pickle.dumps(content, chance.randrange(2, 6)))


def _archive(path: Path, chance: Random) -> None:
    """An archive with something in one of its members replaced."""
    with np.load(path, allow_pickle=True) as archive:  # our own seed
        members = {name: archive[name] for name in archive.files}
    name = chance.choice([*members])
    changed = _changed(members[name].item(), chance, STRANGE)
    members[name] = np.array(None, object)
    members[name][()] = changed
    with suppress(ValueError, RecursionError, TypeError):
        np.savez(path, allow_pickle=True, **members)


def _endless() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = [1.0]
    value.append(value)
    return value


def _bomb() -> list[Any]:
    """A few bytes that expand to two to the power of forty numbers."""
    value: list[Any] = [0.0]
    for _ in range(40):
        value = [value, value]
    return value


PLAIN: tuple[Any, ...] = (None, True, math.nan, math.inf, -1e300, "x", {}, [], [[[[0.0]]]], [{}], *NUMBERS)
STRANGE = (*PLAIN, b"x", (), {1}, _endless(), _bomb())


def _changed(value: Any, chance: Random, strange: tuple[Any, ...], depth: int = 0) -> Any:
    """The same with something in it replaced by something strange."""
    if depth and chance.random() < 0.25:
        return _strange(value, chance, strange)
    if isinstance(value, dict) and value:
        key = chance.choice([*value])
        if chance.random() < 0.1:
            return {k if k != key else _strange_key(k, chance): v for k, v in value.items()}
        if chance.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _changed(value[key], chance, strange, depth + 1)}
    if isinstance(value, list | tuple) and len(value):
        at = chance.randrange(len(value))
        items = [*value]
        items[at] = _changed(items[at], chance, strange, depth + 1)
        return type(value)(items)
    return _strange(value, chance, strange)


def _strange_key(key: object, chance: Random) -> object:
    return chance.choice((None, 1, (), str(key).upper(), f"{key}s", "\ud800", b"text", "audio", "dev"))


def _strange(value: Any, chance: Random, strange: tuple[Any, ...]) -> Any:
    if isinstance(value, np.ndarray) and value.size and chance.random() < 0.7:
        return _strange_array(value, chance)
    if isinstance(value, str) and chance.random() < 0.5:
        return chance.choice(
            ("", "\ud800", "\0", value * 1000, "../../x", "a\nb", value.encode("utf-8", "surrogatepass"), "$_$", "x[0]")
        )
    if isinstance(value, list | tuple) and chance.random() < 0.5:
        return chance.choice(([], [*value] * 50, [*value][:-1], [value] * 3, [[*value]], [*value, None]))
    return chance.choice(strange)


def _strange_array(x: Any, chance: Random) -> Any:
    kind = chance.choice(
        ("float16", "float64", "int8", "uint64", "bool", "object", "complex64", "U4", "S3", ">f4", "datetime64[s]")
    )
    with suppress(ValueError, TypeError), np.errstate(all="ignore"):
        match chance.randrange(8):
            case 0:
                return np.asarray(x).astype(kind)
            case 1:
                return x.reshape(chance.choice(((-1,), (1, -1), (*x.shape, 1), x.shape[::-1])))
            case 2:
                return x[: chance.randrange(len(x) + 1)] if x.ndim else x
            case 3:
                return np.zeros(chance.choice(((0,), (), (0, 3), (len(x), 0), (len(x), 0, 3), (3, 0))))
            case 4:
                return np.full_like(x, chance.choice((np.nan, np.inf, -1, 1e30, 0, 3.5)))
            case 5:
                return np.asfortranarray(x)
            case 6:
                return x.tolist()
    return np.array([x, None], dtype=object)


# HDF5.


def _hdf5(path: Path, chance: Random) -> None:
    """Something in a file replaced by something strange."""
    with h5py.File(path, "a") as file:
        names: list[str] = []
        file.visit(names.append)
        name = chance.choice(names)
        old = file[name][()] if isinstance(file[name], h5py.Dataset) else np.zeros((2, 2))
        del file[name]
        with suppress(ValueError, TypeError, OSError, OverflowError):
            match chance.randrange(9):
                case 0:
                    file[name] = h5py.SoftLink(chance.choice(("/", name, "/x", f"{name}/..")))
                case 1:
                    file[name] = h5py.ExternalLink(chance.choice(("/etc/passwd", path.name, "x.h5")), "/")
                case 2:
                    file.create_group(name)
                case 3:
                    file.create_dataset(name, shape=(2**20, 2**18), dtype="f4")
                case 4:
                    file.create_dataset(name, shape=(2**14, 2**10), dtype="f8", compression="gzip", chunks=True)
                case 5:
                    file.create_dataset(name, data=["a", "b"])
                case 6:
                    file[name] = h5py.Empty("f4")
                case 7:
                    file[name] = np.array(_strange(np.asarray(old), chance, PLAIN))
                case _:
                    file[name] = _strange_array(np.asarray(old), chance)
