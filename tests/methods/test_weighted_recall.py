"""The score of a candidate: simulated classes speak for the real ones."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from headtail.methods._simulated_tails import weighted_recall


def group(n):
    return "many" if n > 100 else "few" if n < 20 else "medium"


def plain_score(recalls, simulated, real):
    """Let every real class have the mean recall of its group, one at a time."""
    voices = []
    for n in real:
        of_group = [
            recall
            for recall, m in zip(recalls, simulated, strict=True)
            if group(m) == group(n) and not math.isnan(recall)
        ]
        if of_group:
            voices.append(sum(of_group) / len(of_group))
    if not voices:
        voices = [recall for recall in recalls if not math.isnan(recall)]
    return sum(voices) / len(voices)


edge_counts = st.one_of(st.sampled_from([1, 19, 20, 100, 101]), st.integers(1, 150))


@given(st.data(), st.integers(1, 9), st.integers(1, 4))
def test_the_score_is_that_of_plain_loops(draw, n_classes, n_candidates):
    per_class = {"min_size": n_classes, "max_size": n_classes}
    simulated, real = (draw.draw(st.lists(edge_counts, **per_class)) for _ in "ab")
    scored = draw.draw(st.lists(st.booleans(), **per_class).filter(any))
    rows = st.lists(st.floats(0, 1), **per_class)
    recalls = torch.tensor(
        [draw.draw(rows) for _ in range(n_candidates)], dtype=torch.float64
    )
    recalls[:, ~torch.tensor(scored)] = torch.nan
    ours = weighted_recall(recalls, torch.tensor(simulated), torch.tensor(real))
    expected = [plain_score(row, simulated, real) for row in recalls.tolist()]
    torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64))


def test_classes_speak_for_those_of_their_group():
    # One medium class of the real data, three few-shot ones; many has no real class.
    recalls = torch.tensor([[0.2, 0.6, 1.0, torch.nan]], dtype=torch.float64)
    simulated, real = torch.tensor([200, 60, 4, 3]), torch.tensor([60, 4, 3, 1])
    score = weighted_recall(recalls, simulated, real)
    torch.testing.assert_close(score, torch.tensor([(0.6 + 3 * 1.0) / 4]).double())
