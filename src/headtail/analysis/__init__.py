"""What methods did and why, as plain data: who gave to whom, confusion, maps."""

from headtail.analysis.attended import AttendedSimilarity, attended_similarity
from headtail.analysis.calibration import Reliability, reliability
from headtail.analysis.compatibility import (
    PrototypeWeightMatch,
    prototype_weight_match,
)
from headtail.analysis.confusion import (
    ConfusedPairs,
    GroupConfusion,
    confused_pairs,
    group_confusion,
)
from headtail.analysis.distance_bins import DistanceBins, bin_by_distance
from headtail.analysis.donations import Donations, donations
from headtail.analysis.explanations import Explanation, explain
from headtail.analysis.gains import (
    ClassGains,
    NeighborGains,
    class_gains,
    gains_by_distance,
)
from headtail.analysis.gains_histogram import GainsHistogram, gains_histogram
from headtail.analysis.maps import TransferMap, transfer_map
from headtail.analysis.norms import WeightNorms, weight_norms
from headtail.analysis.separability import PrototypeAccuracy, prototype_accuracy
from headtail.analysis.sweeps import Sweep, sweep_gamma, sweep_n_neighbors
from headtail.analysis.taxonomy import Taxonomy
from headtail.analysis.trajectories import TrajectoryMap, trajectory_map

__all__ = [
    "AttendedSimilarity",
    "ClassGains",
    "ConfusedPairs",
    "DistanceBins",
    "Donations",
    "Explanation",
    "GainsHistogram",
    "GroupConfusion",
    "NeighborGains",
    "PrototypeAccuracy",
    "PrototypeWeightMatch",
    "Reliability",
    "Sweep",
    "Taxonomy",
    "TrajectoryMap",
    "TransferMap",
    "WeightNorms",
    "attended_similarity",
    "bin_by_distance",
    "class_gains",
    "confused_pairs",
    "donations",
    "explain",
    "gains_by_distance",
    "gains_histogram",
    "group_confusion",
    "prototype_accuracy",
    "prototype_weight_match",
    "reliability",
    "sweep_gamma",
    "sweep_n_neighbors",
    "trajectory_map",
    "transfer_map",
    "weight_norms",
]
