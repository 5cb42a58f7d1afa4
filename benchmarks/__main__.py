"""Run all benchmarks, or those named: ``python -m benchmarks [NAME ...]``."""

import subprocess
import sys

from benchmarks.ratios import table

NAMES = (
    "statistics_speed",
    "compositional_speed",
    "fit_memory",
    "out_of_core",
    "loader_memory",
    "many_classes",
    "base_defaults",
    "compositional_tables",
    "compositional_attention",
    "learning_rates",
    "decoupled_speed",
    "search_speed",
    "simulated_tails",
    "learned_transfer",
    "learned_choices",
    "learned_sweeps",
    "learned_speed",
    "method_tables",
    "count_aware_choices",
    "count_aware",
    "count_aware_speed",
    "image_backbones",
    "image_tables",
    "which_method",
    "image_speed",
    "torchrun_training",
    "scale",
    "demo_settings",
    "serving",
    "ray_engine",
)


def main() -> None:
    """Run them one after another, and print the table of ratios."""
    failed = []
    for name in sys.argv[1:] or NAMES:
        print(f"== {name}", flush=True)
        # One process each: peak memory is that of the benchmark alone.
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode:
            failed.append(name)
    print("== ratios")
    print(table())
    sys.exit(f"failed or skipped: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
