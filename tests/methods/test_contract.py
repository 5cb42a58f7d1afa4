"""scikit-learn's contract suite over every estimator and its main variants."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from headtail import (
    AlphaNetClassifier,
    CausalNormClassifier,
    CompositionalClassifier,
    CosineClassifier,
    CountAwareTransferClassifier,
    DisAlignClassifier,
    LinearClassifier,
    LogitAdjustedClassifier,
    MetaModelNetClassifier,
    ModelRegressionClassifier,
    NearestClassMeanClassifier,
    RetrainedClassifier,
    TauNormalizedClassifier,
    WeightScaledClassifier,
)
from headtail.registry import METHODS

# The suite fits every estimator some fifty times: epochs are few.
BASE = LinearClassifier(epochs=2)
ESTIMATORS = [
    LinearClassifier(epochs=2),
    LinearClassifier(loss="lade", epochs=2),
    LinearClassifier("class-aware", optimizer="adamw", learning_rate=0.05, epochs=2),
    CosineClassifier(epochs=2),
    CosineClassifier(loss="ldam-drw", epochs=2),
    NearestClassMeanClassifier(),
    NearestClassMeanClassifier("centered"),
    TauNormalizedClassifier(BASE),
    RetrainedClassifier(epochs=2),
    WeightScaledClassifier(BASE, epochs=1),
    LogitAdjustedClassifier(BASE),
    DisAlignClassifier(BASE, epochs=1),
    # The suite's classes lie on both sides of the origin and have two features.
    CausalNormClassifier(alpha=0.0, n_chunks=1, epochs=5),
    CompositionalClassifier(CosineClassifier(epochs=2)),
    CompositionalClassifier(NearestClassMeanClassifier(), include_weight=False),
    CompositionalClassifier(BASE, donors=(0, "prototypes")),
    AlphaNetClassifier(BASE, n_neighbors=1, epochs=2),
    MetaModelNetClassifier(n_models=2, steps=2),
    ModelRegressionClassifier(n_models=2, steps=2),
    CountAwareTransferClassifier(random_state=0),
]


# The suite's data are balanced: often there is nobody to give, or nobody to receive.
@pytest.mark.filterwarnings("ignore:There is no:UserWarning")
@pytest.mark.filterwarnings("ignore:n_neighbors is:UserWarning")
@pytest.mark.filterwarnings("ignore:No few-shot class has a held-out:UserWarning")
@parametrize_with_checks(ESTIMATORS)
def test_contract(estimator, check):
    check(estimator)


def test_every_estimator_of_the_table_is_here():
    tested = {type(estimator) for estimator in ESTIMATORS}
    assert tested == {method.estimator for method in METHODS}
