"""What learned methods did, as plain data: sweeps, gains, trajectories."""

from headtail.analysis.gains import (
    ClassGains,
    NeighborGains,
    class_gains,
    gains_by_distance,
)
from headtail.analysis.sweeps import Sweep, sweep_gamma, sweep_n_neighbors
from headtail.analysis.trajectories import TrajectoryMap, trajectory_map

__all__ = [
    "ClassGains",
    "NeighborGains",
    "Sweep",
    "TrajectoryMap",
    "class_gains",
    "gains_by_distance",
    "sweep_gamma",
    "sweep_n_neighbors",
    "trajectory_map",
]
