"""scikit-learn's contract suite over every estimator and its main variants."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from headtail import (
    CompositionalClassifier,
    LinearClassifier,
    NearestClassMeanClassifier,
)
from headtail.registry import METHODS

VARIANTS = [
    LinearClassifier("class-aware", optimizer="adamw", learning_rate=0.05),
    NearestClassMeanClassifier("euclidean"),
    NearestClassMeanClassifier("centered"),
    CompositionalClassifier(NearestClassMeanClassifier(), include_weight=False),
    CompositionalClassifier(LinearClassifier(), donors=(0, "prototypes")),
]


@parametrize_with_checks([method.estimator() for method in METHODS] + VARIANTS)
def test_contract(estimator, check):
    check(estimator)
