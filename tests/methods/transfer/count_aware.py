"""Small data for the count-aware estimator, and its logits without its head."""

import math

import numpy as np
from scipy.special import log_softmax, logsumexp

from headtail import CountAwareTransferClassifier

LABELS = np.array([20, 30, 40, 50, 60])


def classifier(**options):
    return CountAwareTransferClassifier(**{"random_state": 0, **options})


def drawn(labels, seed):
    """Draw features around five directions and, for other labels, far from them."""
    rng = np.random.default_rng(seed)
    labels = np.asarray(labels)
    centers = {label: 3 * np.eye(8)[i] for i, label in enumerate(LABELS)}
    far = -2 * np.ones(8)
    return np.array([centers.get(c, far) for c in labels.tolist()]) + 0.7 * rng.normal(
        size=(len(labels), 8)
    )


def rows_of_length_one(rows):
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def rebuilt_logits(clf, test, X, y):
    """Logits from fitted attributes and all examples seen, without the head."""
    mixture, trained = clf.mixture_, clf.trained_counts_ > 0
    X = rows_of_length_one(X)
    means = np.array([X[y == label].mean(axis=0) for label in clf.classes_])
    counts = np.array([(y == label).sum() for label in clf.classes_])

    def whitened(rows):
        return rows_of_length_one((rows - clf.center_) @ clf.map_)

    directions, prototypes = whitened(rows_of_length_one(test)), whitened(means)
    shift = -mixture["prior"] * np.log(counts / counts.sum())
    linear = directions @ clf.weight_.T + clf.bias_ + shift
    weight = rows_of_length_one(clf.weight_)
    given = weight[clf.trained_counts_ > mixture["donors"]]
    heats = np.exp(mixture["temperature"] * prototypes @ given.T)
    received = rows_of_length_one(heats / heats.sum(axis=1)[:, None] @ given)
    share = mixture["half_count"] / (mixture["half_count"] + counts)[:, None]
    borrowed = mixture["transfer"] * received + mixture["prototype"] * prototypes
    mixed = np.where(trained[:, None], weight + share * borrowed, received + prototypes)
    scale = np.linalg.norm(clf.weight_[trained], axis=1).mean()
    composed = scale * directions @ rows_of_length_one(mixed).T + shift
    members = {"linear": [linear], "composed": [composed], "both": [linear, composed]}
    chosen = members[mixture["members"]] if trained.all() else [composed]
    if len(chosen) == 1:
        return chosen[0]
    return logsumexp([log_softmax(z, axis=1) for z in chosen], axis=0) - math.log(2)
