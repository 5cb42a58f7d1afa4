"""Model regression: one transformation from few-shot to many-shot weights."""

from typing import Any

from headtail.methods.transfer._chain_training import Task
from headtail.methods.transfer._meta_model import MetaModelClassifier
from headtail.methods.transfer._meta_training import Plan
from headtail.methods.transfer._shot_models import Solver

__all__ = ["ModelRegressionClassifier"]


class ModelRegressionClassifier(MetaModelClassifier):
    """Replace tail weights by what one network regresses from them.

    The older baseline of `MetaModelNetClassifier`: a single transformation for all
    numbers of examples, without an identity path. It is trained on the few-shot models
    of all splits; the weights of all classes with less than twice the largest of shots
    pass it. Of two layers, as one block of MetaModelNet.

    Parameters
    ----------
    shots, n_models, solver, penalty, performance_weight, validation_fraction, \
random_state, device
        As in `MetaModelNetClassifier`.
    steps : int
        Training steps.
    learning_rate : float
        Of AdamW at the start; it falls to 0 along a cosine.

    Attributes
    ----------
    classes_, class_counts_, shots_, blocks_, chain_, plain_head_, few_shot_weight_, \
model_shots_, lengths_, unit_, selection_, head_, n_features_in_
        As in `MetaModelNetClassifier`; the chain has one block, and `shots_` the
        largest number of shots.

    References
    ----------
    Wang, Hebert. "Learning to Learn: Model Regression Networks for Easy Small Sample
    Learning." ECCV 2016; as the baseline of Wang, Ramanan, Hebert. "Learning to Model
    the Tail." NeurIPS 2017, table 2.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1, 2, 3], [30, 30, 30, 3])
    >>> X = np.eye(4)[y] + 0.3 * rng.normal(size=(93, 4))
    >>> clf = ModelRegressionClassifier(n_models=20, steps=50, random_state=0).fit(X, y)
    >>> clf.shots_, clf.blocks_
    ((8,), array([1, 1, 1, 0]))
    """

    def __init__(
        self,
        *,
        shots: Any = "auto",
        n_models: Any = "auto",
        solver: Solver = "softmax",
        penalty: float = 1e-4,
        performance_weight: Any = 0.1,
        steps: int = 1000,
        learning_rate: float = 1e-3,
        validation_fraction: float = 0.2,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.shots = shots
        self.n_models = n_models
        self.solver = solver
        self.penalty = penalty
        self.performance_weight = performance_weight
        self.steps = steps
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device

    def _plans(self, shots: tuple[int, ...]) -> list[Plan]:
        tasks = [Task(i, 0) for i in range(len(shots))]
        return [Plan(shots[-1:], False, [tasks])]
