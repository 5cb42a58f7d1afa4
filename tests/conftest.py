import pytest
from hypothesis import settings

from headtail.methods.transfer import _meta_training

settings.register_profile("headtail", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("headtail")


@pytest.fixture
def short_chains(monkeypatch):
    """Cut long trainings of chains short, where a test is about something else."""
    whole = _meta_training.train_chain

    def short(*arguments, steps, **settings):
        whole(*arguments, steps=min(steps, 100), **settings)

    monkeypatch.setattr(_meta_training, "train_chain", short)
