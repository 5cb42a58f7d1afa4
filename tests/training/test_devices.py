import logging

import lightning_fabric
import pytest

from headtail.training import make_fabric


@pytest.fixture
def arguments(monkeypatch):
    """Return what Fabric was made with, in the place of one."""
    monkeypatch.setattr(lightning_fabric, "Fabric", lambda **given: given)
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_one_process_is_the_default(arguments):
    assert make_fabric() == {
        "accelerator": "auto",
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
