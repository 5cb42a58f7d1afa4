import json
import pickle
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from headtail.files import existing_file, read_tensors, write_tensors, written_whole

TENSORS = {
    "b": torch.arange(6.0).reshape(2, 3),
    "a": torch.tensor([1, 2, 3]),
    "c": torch.tensor(1.5, dtype=torch.float64),
}
METADATA = {"z": [1, "two", None], "a": {"nested": 0.1}}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def interrupt_after_writing(path, text):
    with written_whole(path) as temporary:
        temporary.write_text(text)
        raise KeyboardInterrupt


def test_written_whole_puts_the_new_file_in_place(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with written_whole(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent.parent == tmp_path
    assert path.read_text() == "new"
    assert names_in(tmp_path) == ["result.txt"]


def test_written_whole_keeps_the_old_file_after_an_exception(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupt_after_writing(path, "half of the n")
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["result.txt"]


def test_written_whole_leaves_nothing_after_an_exception(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupt_after_writing(tmp_path / "result.txt", "half")
    assert names_in(tmp_path) == []


def test_written_whole_leaves_nothing_if_nothing_was_written(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match="result"),
        written_whole(tmp_path / "result.txt"),
    ):
        pass
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("exists", [True, False])
def test_written_whole_puts_a_folder_in_place(tmp_path, exists):
    path = tmp_path / "shards"
    if exists:
        path.mkdir()
    with written_whole(path) as temporary:
        (temporary / "inner").mkdir(parents=True)
        (temporary / "inner" / "part").write_text("new")
    assert (path / "inner" / "part").read_text() == "new"
    assert names_in(tmp_path) == ["shards"]


def replace_folder(path, *, by_folder):
    with written_whole(path) as temporary:
        if by_folder:
            temporary.mkdir()
        else:
            temporary.write_text("new")


@pytest.mark.parametrize("by_folder", [True, False])
def test_written_whole_never_replaces_a_folder_that_holds_something(
    tmp_path, by_folder
):
    path = tmp_path / "shards"
    path.mkdir()
    (path / "part").write_text("old")
    with pytest.raises(OSError, match="shards"):
        replace_folder(path, by_folder=by_folder)
    assert (path / "part").read_text() == "old"
    assert names_in(tmp_path) == ["shards"]


def test_written_whole_needs_the_folder(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"folder of .*result\.txt must"),
        written_whole(tmp_path / "missing" / "result.txt"),
    ):
        pass
    assert names_in(tmp_path) == []


def test_existing_file_returns_the_path(tmp_path):
    (tmp_path / "file").write_text("")
    assert existing_file(str(tmp_path / "file")) == tmp_path / "file"


def test_existing_file_names_what_is_missing_or_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"head\.x does not exist"):
        existing_file(tmp_path / "head.x")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        existing_file(tmp_path)


def test_tensors_and_metadata_survive_a_round_trip(tmp_path):
    write_tensors(tmp_path / "t", TENSORS, METADATA)
    tensors, metadata = read_tensors(tmp_path / "t")
    assert metadata == {"format": 1, **METADATA}
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_write_tensors_takes_views_and_shared_memory(tmp_path):
    base = torch.arange(6.0, requires_grad=True).reshape(2, 3)
    views = {"whole": base, "transposed": base.T, "row": base[1]}
    write_tensors(tmp_path / "t", views, {})
    tensors, _ = read_tensors(tmp_path / "t")
    assert tensors["transposed"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert tensors["row"].tolist() == [3, 4, 5]


def test_write_tensors_gives_the_same_bytes_for_the_same_input(tmp_path):
    for name in ("first", "second"):
        write_tensors(tmp_path / name, TENSORS, METADATA)
    shuffled = dict(reversed(METADATA.items()))
    write_tensors(tmp_path / "third", TENSORS, shuffled)
    first, second, third = (
        (tmp_path / name).read_bytes() for name in ("first", "second", "third")
    )
    assert first == second == third


def test_read_tensors_copies_what_it_reads(tmp_path):
    path = tmp_path / "t"
    write_tensors(path, TENSORS, METADATA)
    tensors, _ = read_tensors(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(b"\0" * size)
    assert torch.equal(tensors["b"], TENSORS["b"])


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_write_tensors_keeps_the_old_file_if_metadata_are_refused(tmp_path, value):
    write_tensors(tmp_path / "t", TENSORS, METADATA)
    before = (tmp_path / "t").read_bytes()
    with pytest.raises((TypeError, ValueError), match="JSON"):
        write_tensors(tmp_path / "t", TENSORS, {"value": value})
    assert (tmp_path / "t").read_bytes() == before
    assert names_in(tmp_path) == ["t"]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_read_tensors_names_a_truncated_file(tmp_path, share):
    path = tmp_path / "cut.safetensors"
    write_tensors(path, TENSORS, METADATA)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r"cut\.safetensors must be a whole"):
        read_tensors(path)


def test_read_tensors_names_a_pickled_file_and_loads_nothing(tmp_path):
    path = tmp_path / "old.pkl"
    path.write_bytes(pickle.dumps({"weight": [1.0] * 50}))
    with pytest.raises(ValueError, match=r"old\.pkl must be a whole safetensors"):
        read_tensors(path)
    torch.save(TENSORS, path)
    with pytest.raises(ValueError, match=r"old\.pkl must be a whole safetensors"):
        read_tensors(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_read_tensors_names_a_foreign_safetensors_file(tmp_path, metadata):
    save_file(TENSORS, tmp_path / "foreign", metadata=metadata)
    with pytest.raises(ValueError, match="foreign must carry headtail's metadata"):
        read_tensors(tmp_path / "foreign")


def test_read_tensors_names_a_file_whose_metadata_are_no_json(tmp_path):
    save_file(TENSORS, tmp_path / "odd", metadata={"headtail": "{"})
    with pytest.raises(ValueError, match="odd must "):
        read_tensors(tmp_path / "odd")


@pytest.mark.parametrize("value", [[1], "text", 3])
def test_read_tensors_names_a_file_whose_metadata_are_no_object(tmp_path, value):
    save_file(TENSORS, tmp_path / "odd", metadata={"headtail": json.dumps(value)})
    with pytest.raises(ValueError, match=r"metadata of .*odd must be a JSON object"):
        read_tensors(tmp_path / "odd")


def test_saving_touches_no_neighbour(tmp_path):
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with written_whole(tmp_path / "a") as path:
        path.write_text("a")
    assert (tmp_path / "a").read_text() == "a"


def test_another_format_is_refused_by_its_number(tmp_path):
    write_tensors(tmp_path / "a", {}, {"format": 99})
    with pytest.raises(ValueError, match=r"a must have format 1; it has 99"):
        read_tensors(tmp_path / "a")


def test_a_full_disk_is_an_os_error_that_names_the_file(tmp_path):
    # A limit on the size of files fails inside the writers, as a full disk does.
    code = (
        "import resource, signal, torch\n"
        "from headtail.files import naming_failure, write_tensors\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "many = torch.zeros(100_000)\n"
        "for write in (\n"
        "    lambda: write_tensors('t.safetensors', {'w': many}, {}),\n"
        "    lambda: torch.save(many, 't.pt'),\n"
        "):\n"
        "    try:\n"
        "        with naming_failure('the file'):\n"
        "            write()\n"
        "    except OSError as error:\n"
        "        print(error)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.search(r"t\.safetensors must be written whole; writing it failed", out)
    assert re.search(r"the file must be written whole; writing it failed", out)
    assert not (tmp_path / "t.safetensors").exists()
