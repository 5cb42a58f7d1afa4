"""Damage: of any bytes, of JSON, and of the fields of arrays and tensors."""

import copy
import io
import json
import struct
import zipfile

from hypothesis import strategies as st

DEEP = "nested without end"
ODD = {
    "null": None,
    "true": True,
    "minus one": -1,
    "zero": 0,
    "one": 1,
    "two": 2,
    "2 to the 31": 2**31,
    "2 to the 63": 2**63,
    "huge": 10**40,
    "half": 0.5,
    "nan": float("nan"),
    "infinite": float("inf"),
    "empty": "",
    "letter": "a",
    "path": "../../x",
    "root": "/etc/hostname",
    "NUL": "\0",
    "umlauts": "é" * 50,
    "long text": "<U900000000",
    "object": "|O",
    "small floats": "F8_E4M3",
    "complex": "C64",
    "halves": "F16",
    "hub": "hub",
    "list": [],
    "ones": [1, 1],
    "far": [0, 2**62],
    "object in it": {"a": 1},
    "dictionary": {},
    "deep": DEEP,
}


@st.composite
def damaged(draw, seeds, most=4):
    """One of the files that `seeds` gives, with bytes changed, lost or added."""
    files = seeds()
    content = bytearray(files[draw(st.sampled_from(sorted(files)))])
    for _ in range(draw(st.integers(1, most))):
        # The ends say what is in the middle, for most formats.
        place = draw(st.integers(0, len(content)))
        at = len(content) - place if draw(st.booleans()) else place
        length = draw(st.sampled_from([1, 2, 4, 8, 100]))
        kind = draw(st.sampled_from(["flip", "set", "number", "cut", "add", "repeat"]))
        part = content[at : at + length]
        if kind == "flip":
            mask = draw(st.integers(1, 255))
            part = bytes(byte ^ mask for byte in part[:1]) + part[1:]
        elif kind == "set":
            part = draw(st.binary(min_size=length, max_size=length))
        elif kind == "number":
            part = struct.pack("<Q", draw(st.sampled_from(NUMBERS)))[:length]
        elif kind == "cut":
            end = len(content) if draw(st.booleans()) else at + length
            content[at:end] = b""
            continue
        elif kind == "add":
            content[at:at] = draw(st.binary(max_size=16))
            continue
        else:
            part = part * draw(st.integers(2, 20))
        content[at : at + length] = part
    return bytes(content)


NUMBERS = [0, 1, 255, 256, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
noise = st.binary(max_size=200)


def _places(tree, above=()):
    yield above
    if isinstance(tree, dict | list):
        keys = tree if isinstance(tree, dict) else range(len(tree))
        for key in keys:
            yield from _places(tree[key], (*above, key))


@st.composite
def changed_json(draw, tree, most=3):
    """A JSON value with some parts replaced, dropped, renamed or repeated."""
    tree = {"": copy.deepcopy(tree)}
    for _ in range(draw(st.integers(1, most))):
        places = [place for place in _places(tree) if len(place) > 1]
        if not places:
            break
        *above, key = draw(st.sampled_from(places))
        inner = tree
        for step in above:
            inner = inner[step]
        kinds = ["replace", "replace", "drop", "move", "repeat"]
        kind = draw(st.sampled_from(kinds))
        if kind == "replace":
            inner[key] = copy.deepcopy(ODD[draw(st.sampled_from(sorted(ODD)))])
        elif kind == "drop":
            del inner[key]
        elif kind == "move" and isinstance(inner, dict):
            inner[draw(st.sampled_from([f"{key}2", "weight", "", *inner]))] = inner.pop(
                key
            )
        elif isinstance(inner, list):
            inner.insert(key, copy.deepcopy(inner[key]))
    return tree[""]


def json_bytes(tree):
    """Text of a JSON value, with a nesting that no reader follows where it is asked."""
    text = json.dumps(tree)
    for quoted in (json.dumps(DEEP), json.dumps(json.dumps(DEEP))[1:-1]):
        text = text.replace(quoted, "[" * 5000 + "]" * 5000)
    return text.encode()


def split_safetensors(content):
    """Return the header and the tensors' bytes of a safetensors file."""
    end = 8 + struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:end]), content[end:]


@st.composite
def changed_safetensors(draw, seeds, key):
    """A safetensors file with a changed header, or changed JSON below `key` in it."""
    files = seeds()
    header, data = split_safetensors(files[draw(st.sampled_from(sorted(files)))])
    inner = header.get("__metadata__", {}).get(key)
    if inner is not None and draw(st.integers(0, 3)):
        tree = draw(changed_json(json.loads(inner)))
        header["__metadata__"][key] = json_bytes(tree).decode()
    else:
        header = draw(changed_json(header))
    text = json_bytes(header)
    return struct.pack("<Q", len(text)) + text + data


DESCRS = [
    "<f4", ">f8", "<f2", "<f16", "<c8", "|u1", "<u8", "<i8", "|b1", "|O", "<U0", "<U3",
    "|S2", "|V0", "|V4", "<M8[D]", "<m8", "a", "x", "", "f4,f4", "<U900000000",
]  # fmt: skip
SHAPES = [
    (2, 3), (6,), (2,), (), (0, 3), (2, 0), (0, 2**62), (2**62, 0), (2**63, 2**63),
    (-2, -3), (-1, 3), (10**12,), (True, 6), (2, 3, 1), (2**31, 1), ("a",), (1,) * 70,
]  # fmt: skip


@st.composite
def array_files(draw, names, suffix=".npy"):
    """An archive of arrays whose headers say one thing and whose bytes another."""
    stream = io.BytesIO()
    packing = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]
    with zipfile.ZipFile(stream, "w") as archive:
        for name in draw(st.lists(st.sampled_from(names), max_size=5, unique=True)):
            descr, shape = draw(st.sampled_from(DESCRS)), draw(st.sampled_from(SHAPES))
            order = draw(st.sampled_from([False, True, 1, None]))
            header = repr({"descr": descr, "fortran_order": order, "shape": shape})
            extra = draw(st.sampled_from(["", " ", "L", "\\d", "(" * 300, ", 'a': 1"]))
            header = f"{header[:-1]}{extra}}}" if extra else header
            version = draw(st.sampled_from([1, 1, 1, 2, 3, 9]))
            length = struct.pack("<H" if version == 1 else "<I", len(header) + 1)
            size = draw(st.sampled_from([0, 2, 4, 6, 12, 16, 24, 48, 96]))
            data = draw(st.sampled_from([b"\0", b"\x01", b"\xff"])) * size
            content = b"\x93NUMPY" + bytes([version, 0]) + length
            content += header.encode() + b"\n" + data
            archive.writestr(f"{name}{suffix}", content, draw(st.sampled_from(packing)))
    return stream.getvalue()
