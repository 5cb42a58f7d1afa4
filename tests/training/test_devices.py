import logging

import lightning_fabric
import pytest

from headtail.training import checked_device, make_fabric


@pytest.fixture
def arguments(monkeypatch):
    """Return what Fabric was made with, in the place of one."""
    monkeypatch.setattr(lightning_fabric, "Fabric", lambda **given: given)
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_one_process_is_the_default(arguments):
    assert make_fabric("cpu") == {
        "accelerator": "cpu",
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
        "precision": "32-true",
    }


def test_what_torchrun_started_is_taken(arguments, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    made = make_fabric("cpu")
    assert (made["devices"], made["num_nodes"], made["strategy"]) == (4, 2, "ddp")


def test_bfloat16_is_used_without_a_word(monkeypatch):
    said = []
    handler = logging.Handler()
    handler.emit = said.append
    log = logging.getLogger("lightning_fabric")
    monkeypatch.setattr(log, "handlers", [handler])
    level = log.level
    fabric = make_fabric("cpu", bf16=True)
    assert fabric.strategy.precision.precision == "bf16-mixed"
    assert said == []
    # Only for the moment: what others do with Fabric is noted as before.
    assert log.level == level
    lightning_fabric.Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    assert len(said) == 1


@pytest.mark.parametrize("name", ["mps", "gpu", ""])
def test_other_devices_are_refused(name):
    with pytest.raises(ValueError, match="device must be 'cpu', 'auto', or 'cuda'"):
        checked_device(name)


def test_auto_is_what_torch_has(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert checked_device("auto") == checked_device("cuda") == "cuda"
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert checked_device("auto") == "cpu"
    with pytest.raises(ValueError, match="'cuda' where torch has a GPU; got 'cuda'"):
        checked_device("cuda")
