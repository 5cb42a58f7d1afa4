import pytest
import torch
from hypothesis import settings

from headtail.methods import _trained
from headtail.methods.transfer import _meta_training

settings.register_profile("headtail", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("headtail")


@pytest.fixture(autouse=True)
def _same_number_of_threads():
    """Let no test change how those after it round."""
    n_threads = torch.get_num_threads()
    yield
    n_after = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    assert n_after == n_threads


@pytest.fixture
def short_trainings(monkeypatch):
    """Cut long trainings short, where a test is about something else."""
    whole_chain, whole = _meta_training.train_chain, _trained.train

    def short_chain(*arguments, steps, **settings):
        whole_chain(*arguments, steps=min(steps, 100), **settings)

    def short(*arguments, epochs, **settings):
        whole(*arguments, epochs=min(epochs, 8), **settings)

    monkeypatch.setattr(_meta_training, "train_chain", short_chain)
    monkeypatch.setattr(_trained, "train", short)
