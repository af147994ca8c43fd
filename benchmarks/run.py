"""Benchmarks: ratios against a named peer, both measured in turn in the same run; medians of several rounds.

make bench                      everything but the demo
python benchmarks/run.py --only input_path_64
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import contrast_65k
import demo
import extrapolation_401k
import features_401k
import input_path
import training_step

ROUNDS = 5
BENCHMARKS: dict[str, Callable[[Path, int], dict]] = {
    "input_path_64": lambda folder, rounds: input_path.measure(folder, 64, rounds),
    "input_path_224": lambda folder, rounds: input_path.measure(folder, 224, rounds),
    "training_step_vit_tiny": lambda folder, rounds: training_step.measure(folder, "vit_tiny", rounds),
    "training_step_efficientnet": lambda folder, rounds: training_step.measure(folder, "efficientnet", rounds),
    "training_step_vit_small": lambda folder, rounds: training_step.measure(folder, "vit_small", rounds),
    "contrast_65k": contrast_65k.measure,
    "features_401k": features_401k.measure,
    "extrapolation_401k": extrapolation_401k.measure,
    "demo": demo.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(BENCHMARKS), default=[n for n in BENCHMARKS if n != "demo"])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    path = Path(__file__).parent / "results.json"
    results = {entry["name"]: entry for entry in json.loads(path.read_text())} if path.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            entry = {"name": name, **BENCHMARKS[name](Path(folder), arguments.rounds)}
            results[name] = entry
            peer = f"{entry['peer_name']} {entry['peer']:.4g}, ratio {entry['ratio']:.2f}"
            print(f"{name:<28} {entry['ours']:.4g} {entry['unit']}   ({peer}; spread {entry['spread']})", flush=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps(list(results.values()), indent=2) + "\n")
            temporary.replace(path)


if __name__ == "__main__":
    main()
