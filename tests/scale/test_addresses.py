import pytest

from headtail.scale.addresses import BEGUN, Shard, fingerprint_of, list_shards

SUFFIXES = (".npz",)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("b.npz", "a.npz", ".hidden.npz", "c.txt", ".d.npz.123"):
        (folder / name).write_bytes(b"1" * len(name))
    (folder / "e.npz").mkdir()
    return folder


def names(source):
    return [(shard.name, shard.size) for shard in list_shards(source, SUFFIXES)]


def test_shards_are_listed_in_the_order_of_names(folder, memory, upload):
    expected = [("a.npz", 5), ("b.npz", 5)]
    assert names(folder) == names(f"file://{folder}/") == expected
    (folder / "e.npz").rmdir()
    upload(folder, memory)
    assert names(memory) == expected
    assert names(folder / "a.npz") == names(f"{memory}/a.npz") == expected[:1]


def test_paths_are_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert [str(shard) for shard in list_shards("folder", SUFFIXES)] == [
        f"{folder}/a.npz",
        f"{folder}/b.npz",
    ]


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_no_link_leads_out_of_the_folder(form, folder, tmp_path):
    (tmp_path / "secret").write_bytes(b"s")
    (folder / "f.npz").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match=r"\['f\.npz'\] are links\. Copy"):
        list_shards(form.format(folder), SUFFIXES)


def test_what_is_not_there_is_named(folder, memory, tmp_path):
    for source in (tmp_path / "no", f"file://{tmp_path}/no", memory):
        with pytest.raises(FileNotFoundError, match=str(source).rsplit("/", 1)[-1]):
            list_shards(source, SUFFIXES)
    with pytest.raises(FileNotFoundError, match=r"\['\.pt'\]\. It holds \['\.d\.npz"):
        list_shards(folder, [".pt"])
    with pytest.raises(OSError, match=r"nil://x must be an address .* Check the"):
        list_shards("nil://x", SUFFIXES)


def test_an_extraction_that_was_broken_off_is_refused(folder, memory, upload):
    (folder / "e.npz").rmdir()
    (folder / BEGUN).write_bytes(b"{}")
    upload(folder, memory)
    for source in (f"file://{folder}", memory):
        with pytest.raises(ValueError, match=r"it was broken off\. Call extract"):
            list_shards(source, SUFFIXES)
    # Killed between its last two steps: all is there.
    (folder / "extraction.json").write_bytes(b"{}")
    assert len(names(f"file://{folder}")) == 2


def test_names_and_sizes_make_the_fingerprint():
    one = fingerprint_of([Shard("s3://a", "1.npz", 9)])
    assert one == fingerprint_of([Shard("other", "1.npz", 9)])
    assert one != fingerprint_of([Shard("s3://a", "1.npz", 8)])
    assert one != fingerprint_of([Shard("s3://a", "2.npz", 9)])
