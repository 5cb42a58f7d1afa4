"""MetaModelNet: learn how weights grow with data, and let tail weights grow so."""

from typing import Any, ClassVar, Literal

from headtail.methods._constraints import StrOptions
from headtail.methods.transfer._chain_training import Task
from headtail.methods.transfer._meta_model import MetaModelClassifier
from headtail.methods.transfer._meta_training import Plan
from headtail.methods.transfer._shot_models import Solver

__all__ = ["MetaModelNetClassifier"]


class MetaModelNetClassifier(MetaModelClassifier):
    """Send every tail class's weight through a chain that learned from head classes.

    Of the head classes one can make few-shot models, and knows the many-shot ones. A
    chain of residual blocks learns to lead from the first to the second: block i from
    2^i shots on. The weights of all classes are then learned from all data, by the
    same solver, and those of tail classes enter the chain at the block of their count.

    There is no base: weights that were trained otherwise live in another scale than
    those that the chain has learned from, so none are taken.

    Parameters
    ----------
    shots : "auto" or sequence of int
        The numbers k of examples that the blocks are for, rising; ``"auto"`` is 1, 2,
        4, …, 64, as far as two classes have more than 2k examples.
    n_models : "auto", int or sequence of int
        Few-shot models of every split, or one number for each of shots. The paper's
        are 1000 for 1 shot, 500 for 2, and 200 from 4 on; ``"auto"`` is a tenth.
    split : {"recursive", "fixed"}
        A block per number of shots, trained back to front; or one block for one of
        shots, the best on held-out data.
    solver : {"softmax", "ridge"}
        Of all models, the many-shot ones too: cross-entropy in 30 accelerated steps,
        or least squares in closed form. Every class counts alike. The lengths of ridge
        weights depend on how many classes there are, so that the chain is used on
        longer weights than it has learned from; those of softmax weights hardly do.
    penalty : float
        On the squared weights, of features with total variance 1.
    performance_weight : float or "auto"
        Weight of the cross-entropy beside the squared distance (λ); ``"auto"`` is the
        best of 0.1, 1 and 10 on held-out data.
    steps : int
        Training steps of every block's stage.
    learning_rate : float
        Of AdamW at the start of a stage; it falls to 0 along a cosine.
    validation_fraction : float
        Share of the training data that is held out, class by class, where something is
        chosen and `fit` is given no validation data.
    random_state : int, RandomState instance or None
        Makes the draws repeatable.
    device : str, torch.device or None
        Where the work is done; None is where the features are.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    class_counts_ : ndarray of shape (n_classes,)
        Training examples per class.
    shots_ : tuple of int
        Of the blocks; one if the split is fixed.
    blocks_ : ndarray of shape (n_classes,)
        Block at which every class enters; the number of blocks for one that stays.
    chain_ : torch.nn.Module
        The trained chain.
    plain_head_ : LinearHead
        The classifier whose weights entered.
    few_shot_weight_ : ndarray of shape (n_classes, n_features)
        Weights from as few examples as the first of `model_shots_`, NaN for classes
        that have fewer: where `trajectory` may start.
    model_shots_ : tuple of int
        Numbers of examples of the few-shot models that the chain was trained on.
    lengths_ : ndarray of shape (len(model_shots_), 3)
        Mean length of few-shot weights, of what the chain makes of them, and of
        many-shot weights, by number of shots, for features of total variance 1.
    unit_ : float
        Factor from weights of the head to those that the chain takes.
    selection_ : Selection or None
        What was tried, on which data, and what came out; None if nothing was chosen.
    head_ : LinearHead
        `plain_head_` with the weights of tail classes moved.
    n_features_in_ : int
        Number of features seen during `fit`.

    References
    ----------
    Wang, Ramanan, Hebert. "Learning to Model the Tail." NeurIPS 2017, sections 3.1 to
    3.4, equations 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1, 2, 3], [30, 30, 30, 3])
    >>> X = np.eye(4)[y] + 0.3 * rng.normal(size=(93, 4))
    >>> clf = MetaModelNetClassifier(n_models=20, steps=5, random_state=0).fit(X, y)
    >>> clf.shots_, clf.blocks_, clf.trajectory(3).shape
    ((1, 2, 4, 8), array([4, 4, 4, 1]), (4, 4))
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MetaModelClassifier._parameter_constraints,
        "split": [StrOptions({"recursive", "fixed"})],
    }

    def __init__(
        self,
        *,
        shots: Any = "auto",
        n_models: Any = "auto",
        split: Literal["recursive", "fixed"] = "recursive",
        solver: Solver = "softmax",
        penalty: float = 1e-4,
        performance_weight: Any = 0.1,
        steps: int = 50,
        learning_rate: float = 1e-4,
        validation_fraction: float = 0.2,
        random_state: Any = None,
        device: Any = None,
    ) -> None:
        self.shots = shots
        self.n_models = n_models
        self.split = split
        self.solver = solver
        self.penalty = penalty
        self.performance_weight = performance_weight
        self.steps = steps
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device

    def _plans(self, shots: tuple[int, ...]) -> list[Plan]:
        n_blocks = len(shots)
        if self.split == "fixed":
            return [Plan((k,), True, [[Task(i, 0)]]) for i, k in enumerate(shots)]
        stages = [
            [Task(j, j) for j in range(i, n_blocks)] for i in reversed(range(n_blocks))
        ]
        return [Plan(shots, True, stages)]

    def _shots_of(self, plan: Plan, shots: tuple[int, ...]) -> tuple[int, ...]:
        return plan.shots if self.split == "fixed" else shots
