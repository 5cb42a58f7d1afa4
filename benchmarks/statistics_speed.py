"""Class statistics of ImageNet-LT's shape against one reading pass and scikit-learn."""

from sklearn.neighbors import NearestCentroid

from benchmarks.common import imagenet_lt_features, median_time, write
from headtail import ClassStatistics

features, labels = imagenet_lt_features()
n_classes, n_features = int(labels.max()) + 1, features.shape[1]

read = median_time(lambda: features.sum(), 15)
ours = median_time(
    lambda: ClassStatistics(n_classes, n_features).update(features, labels), 15
)
array, targets = features.numpy(), labels.numpy()
theirs = median_time(lambda: NearestCentroid().fit(array, targets), 3)

print(f"ClassStatistics / one pass that reads: {ours / read:.1f} (target: at most 6)")
print(f"NearestCentroid.fit / ours: {theirs / ours:.1f} (target: at least 10)")
write(
    "statistics_speed",
    {
        "shape": list(features.shape),
        "statistics_over_read": ours / read,
        "nearest_centroid_over_statistics": theirs / ours,
        "seconds": {"read": read, "statistics": ours, "nearest_centroid": theirs},
    },
)
