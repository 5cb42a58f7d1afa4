import numpy as np
import pytest

from headtail import LinearClassifier, MetaModelNetClassifier
from headtail.analysis import trajectory_map


@pytest.fixture(scope="module")
def classifier():
    rng = np.random.default_rng(0)
    y = np.repeat([3, 5, 7, 9], [30, 30, 30, 2])
    X = np.eye(4)[np.searchsorted([3, 5, 7, 9], y)] + 0.3 * rng.normal(size=(92, 4))
    clf = MetaModelNetClassifier(shots=(2, 4), n_models=5, steps=3, learning_rate=0.1)
    return clf.set_params(random_state=0).fit(X, y)


@pytest.mark.parametrize("start", ["own", "few-shot"])
def test_points_are_the_trajectories_class_by_class(classifier, start):
    result = trajectory_map(classifier, [9, 3], start=start)
    paths = [classifier.trajectory(label, start=start) for label in (9, 3)]
    assert result.labels.tolist() == [9] * len(paths[0]) + [3] * len(paths[1])
    assert result.steps.tolist() == [i for path in paths for i in range(len(path))]
    lengths = np.linalg.norm(np.concatenate(paths), axis=1)
    np.testing.assert_allclose(result.lengths, lengths)


def test_principal_components_keep_as_much_distance_as_a_plane_can(classifier):
    result = trajectory_map(classifier, start="few-shot")
    paths = [classifier.trajectory(label, start="few-shot") for label in (3, 5, 7, 9)]
    weights = np.concatenate(paths).astype(float)
    values = np.linalg.svd(weights - weights.mean(axis=0), compute_uv=False)
    kept = np.square(result.coordinates).sum()
    np.testing.assert_allclose(kept, np.square(values[:2]).sum(), rtol=1e-6)


def test_tsne_gives_a_point_for_every_step_and_the_same_with_the_same_seed(classifier):
    maps = [
        trajectory_map(classifier, method="tsne", start="few-shot", random_state=0)
        for _ in range(2)
    ]
    assert maps[0].coordinates.shape == (len(maps[0].steps), 2)
    assert np.isfinite(maps[0].coordinates).all()
    assert maps[0].coordinates.tobytes() == maps[1].coordinates.tobytes()


def test_classes_without_a_few_shot_weight_are_left_out(classifier):
    other = MetaModelNetClassifier(shots=(4,), n_models=2, steps=1, random_state=0)
    rng = np.random.default_rng(0)
    other.fit(rng.normal(size=(63, 4)), np.repeat([3, 5, 7], [30, 30, 3]))
    assert set(trajectory_map(other, start="few-shot").labels) == {3, 5}
    assert set(trajectory_map(other).labels) == {3, 5, 7}


def test_what_makes_no_map_is_refused(classifier):
    with pytest.raises(ValueError, match="'pca' or 'tsne'; got 'umap'"):
        trajectory_map(classifier, method="umap")
    with pytest.raises(ValueError, match=r"three points and two features.*got 1 and 4"):
        trajectory_map(classifier, [3])
    with pytest.raises(TypeError, match="ModelRegressionClassifier; got Linear"):
        trajectory_map(LinearClassifier())
    with pytest.raises(ValueError, match="label must be one of classes_"):
        trajectory_map(classifier, [4])
