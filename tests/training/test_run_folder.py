import json
import pickle
import sys

import pytest
import torch

from headtail.datasets import ImageSet
from headtail.training import (
    Augmentation,
    ImageClassifier,
    Optimization,
    Schedule,
    build_backbone,
    load_run,
    make_fabric,
    new_head,
)
from tests.training.tiny_runs import blotches, network, trained

DATA, HELD = blotches([9, 7, 4, 2]), blotches([2] * 4, seed=1)


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a finished run with usual settings."""
    trained(DATA, HELD, tmp_path / "run", n_epochs=1)
    return tmp_path / "run"


def test_a_run_writes_these_files_and_columns(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.safetensors",
        "last.safetensors",
        "log.csv",
        "settings.json",
        "state.pt",
    ]
    header, *lines = (folder / "log.csv").read_text().splitlines()
    assert header == (
        "epoch,learning_rate,train_loss,train_accuracy,validation_all,"
        "validation_many,validation_medium,validation_few"
    )
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        ("optimization", {"optimization": Optimization(learning_rate=0.2)}),
        ("schedule", {"schedule": Schedule(n_epochs=2)}),
        ("sampling", {"sampling": "class"}),
        ("loss", {"loss": "focal"}),
        ("augmentation", {"augmentation": Augmentation(flip=True)}),
        ("parts", {"parts": "classifier"}),
        ("seed", {"seed": 1}),
        ("precision", {"fabric": make_fabric("cpu", bf16=True)}),
        ("head", {"model": network(kind="cosine")}),
        ("images", {"data": blotches([9, 7, 4, 2], seed=3)}),
        ("images", {"data": ImageSet(DATA.images ^ 1, DATA.labels)}),
        ("classes", {"model": network(classes=[1, 0, 2, 3])}),
        ("validation", {"validation": None}),
        ("validation", {"validation": blotches([3] * 4)}),
    ],
)
def test_a_run_of_other_settings_is_refused(setting, options, folder):
    usual = {"data": DATA, "validation": HELD, "n_epochs": 1, "folder": folder}
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match=rf"there {setting} is .*, now .*Choose"):
        trained(**(usual | options))
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("setting", ["backbone", "preprocessing"])
def test_a_run_of_another_network_is_refused(setting, folder):
    model = network()
    if setting == "backbone":
        model.backbone.name = "other"
    else:
        model.preprocessing = build_backbone("resnet20").preprocessing
    with pytest.raises(FileExistsError, match=rf"there {setting} is .*, now"):
        trained(DATA, HELD, folder, model=model, n_epochs=1)


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"must be a new or empty folder"):
        trained(DATA, folder=tmp_path)
    with pytest.raises(FileExistsError, match=r"notes.txt must be a new or empty"):
        trained(DATA, folder=tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    trained(DATA, folder=tmp_path / "empty", n_epochs=1)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "7", "\udcff"])
def test_settings_of_something_else_are_refused(text, tmp_path):
    content = text.encode(errors="surrogateescape")
    (tmp_path / "settings.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"settings.json must hold the settings of a"):
        trained(DATA, folder=tmp_path)
    assert (tmp_path / "settings.json").read_bytes() == content


def broken(state):
    """Yield what may be left of a checkpoint, or be in its place."""
    yield from (b"", state[: len(state) // 2], state[:-1], b"PK\x03\x04", b"\x80\x02.")
    yield from (b"not a checkpoint", bytes(500), state[100:])
    yield pickle.dumps({"model": {}, "optimizer": {}, "rows": []}, 2)[:-3]


def test_a_damaged_checkpoint_is_an_error(folder):
    file = folder / "state.pt"
    for content in broken(file.read_bytes()):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"state.pt must be a whole checkpoint"):
            trained(DATA, HELD, folder, n_epochs=1)
    for foreign in (torch.zeros(3), {"model": {}}, [1, 2]):
        torch.save(foreign, file)
        with pytest.raises(ValueError, match=r"state.pt must be a whole checkpoint"):
            trained(DATA, HELD, folder, n_epochs=1)


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return exec, ("import sys; sys.modules['trapped'] = sys",)


@pytest.mark.parametrize(
    "write", [torch.save, lambda x, p: p.write_bytes(pickle.dumps(x, 2))]
)
def test_a_checkpoint_with_code_in_it_is_refused(write, folder):
    state = torch.load(folder / "state.pt", weights_only=True)
    write(state | {"rows": Trap()}, folder / "state.pt")
    with pytest.raises(ValueError, match=r"\(UnpicklingError\)\. Remove it") as caught:
        trained(DATA, HELD, folder, n_epochs=1)
    assert "trapped" not in sys.modules
    # Torch's own text proposes to run it.
    assert "weights_only" not in str(caught.value)


def test_a_removed_checkpoint_begins_the_run_again(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "state.pt").unlink()
    trained(DATA, HELD, folder, n_epochs=1)
    for name in ("log.csv", "best.safetensors", "last.safetensors"):
        assert (folder / name).read_bytes() == before[name]


def test_load_run_takes_the_best_network_else_the_last(tmp_path):
    def model(scale):
        torch.manual_seed(0)
        head = new_head("cosine", 64, 2, scale=scale)
        return ImageClassifier(build_backbone("resnet20"), head)

    with pytest.raises(FileNotFoundError, match=r"neither. Finish the run"):
        load_run(tmp_path)
    model(1.0).save(tmp_path / "last.safetensors")
    assert load_run(tmp_path).head.scale == 1
    model(2.0).save(tmp_path / "best.safetensors")
    assert load_run(tmp_path).head.scale == 2
    assert load_run(tmp_path / "last.safetensors").head.scale == 1
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist"):
        load_run(tmp_path / "nowhere")


def test_a_run_can_be_loaded(tmp_path):
    model = ImageClassifier(build_backbone("resnet20"), new_head("linear", 64, 2))
    data = blotches([3, 2])
    trained(data, None, tmp_path / "run", model=model, n_epochs=1)
    loaded = load_run(str(tmp_path / "run"))
    assert loaded.class_counts == (3, 2)
    state = loaded.state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


def test_tensorboard_gets_every_number(tmp_path):
    accumulation = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    _, rows = trained(DATA, HELD, tmp_path / "run", tensorboard=True)
    assert any("tfevents" in path.name for path in (tmp_path / "run").iterdir())
    events = accumulation.EventAccumulator(str(tmp_path / "run")).Reload()
    assert set(events.Tags()["scalars"]) == set(rows[0])
    for name in ("train_loss", "validation_all"):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        expected = [(i, row[name]) for i, row in enumerate(rows, start=1)]
        assert [step for step, _ in found] == [step for step, _ in expected]
        assert [v for _, v in found] == pytest.approx([v for _, v in expected])
    # Whether its files are written is no setting of the run.
    assert "tensorboard" not in json.loads((tmp_path / "run/settings.json").read_text())


def test_a_missing_tensorboard_is_told_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"install 'headtail\[tensorboard\]'"):
        trained(DATA, folder=tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


def test_other_starting_weights_are_another_run(tmp_path):
    data = blotches([6, 6, 6, 4])
    trained(data, folder=tmp_path / "run", n_epochs=1)
    other = network()
    with torch.no_grad():
        next(other.parameters()).add_(1.0)
    with pytest.raises(FileExistsError, match="there weights is"):
        trained(data, folder=tmp_path / "run", model=other, n_epochs=1)


def test_a_folder_whose_parent_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"The folder of .*run must exist"):
        trained(blotches([4, 4, 4, 4]), folder=tmp_path / "no" / "run", n_epochs=1)
