"""Composing and predicting of ImageNet-LT's shape against the matrix products alone."""

import torch

from benchmarks.common import imagenet_lt_counts, median_time, write
from headtail import ClassStatistics, CompositionalClassifier, CosineHead

counts = imagenet_lt_counts()
n_classes, n_features, n_test = len(counts), 2048, 50_000
generator = torch.Generator().manual_seed(0)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator)


weight, test = random(n_classes, n_features), random(n_test, n_features)
labels = torch.arange(n_classes).repeat(2)
classifier = CompositionalClassifier(CosineHead(weight), donors=0)
classifier.fit(random(len(labels), n_features), labels)

# The statistics of the full data set, as if they had been read from a file.
classifier.statistics_ = ClassStatistics.from_tensors(
    torch.from_numpy(counts),
    torch.zeros(n_classes, dtype=torch.int64),
    random(n_classes, n_features).double(),
    random(n_classes, n_features).double(),
)
classifier.class_counts_ = classifier.trained_counts_ = counts
classifier.donors_ = (0, 20, 100)


def ours() -> None:
    classifier._compose_head()
    classifier.predict_proba(test)


def products() -> None:
    for k in classifier.donors_:
        donors = weight[torch.from_numpy(counts > k)]
        (weight @ donors.T) @ donors
        for block in test.split(4096):
            block @ weight.T


matrix, whole = median_time(products, 3), median_time(ours, 3)
print(
    f"compose and predict / matrix products: {whole / matrix:.2f} (target: at most 2)"
)
write(
    "compositional_speed",
    {
        "shape": {"classes": n_classes, "features": n_features, "test": n_test},
        "fit_and_predict_over_products": whole / matrix,
        "seconds": {"products": matrix, "fit_and_predict": whole},
    },
)
