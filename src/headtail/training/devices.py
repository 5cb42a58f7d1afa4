"""Where training runs: the device, the precision, and one process or several."""

import logging
import os
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["checked_device", "make_fabric"]


def checked_device(name: str) -> str:
    """Return ``"cpu"`` or ``"cuda"``; ``"auto"`` is what is there.

    Examples
    --------
    >>> checked_device("cpu")
    'cpu'
    """
    there = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if there else "cpu"
    if name not in ("cpu", "cuda") or (name == "cuda" and not there):
        raise ValueError(
            f"device must be 'cpu', 'auto', or 'cuda' where torch has a GPU; got "
            f"{name!r}."
        )
    return name


def make_fabric(device: str = "auto", *, bf16: bool = False) -> "Fabric":
    """Return a Fabric for one process, or for those that ``torchrun`` started.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"`` for what is there.
    bf16
        Mixed precision: bfloat16 where torch deems that safe.
    """
    # It takes long to import, and most commands do not train.
    from lightning_fabric import Fabric

    world = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    log = logging.getLogger("lightning_fabric")
    level = log.level
    # Fabric notes on stderr that bfloat16 is used: the user has asked for it.
    log.setLevel(logging.WARNING)
    try:
        return Fabric(
            accelerator=checked_device(device),
            devices=local,
            num_nodes=world // local,
            strategy="ddp" if world > 1 else "auto",
            precision="bf16-mixed" if bf16 else "32-true",
        )
    finally:
        log.setLevel(level)
