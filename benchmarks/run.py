"""Benchmarks: ratios against a named peer, both measured in turn in the same run; medians of several rounds.

make bench                      everything that takes minutes
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
import embed_folder
import embedding
import evaluation
import extrapolation_401k
import features_401k
import input_path
import inspect_401k
import rows_4m
import store_1m
import training_step
from training_step import BACKBONES

ROUNDS = 5
# One result, or several by the name of the peer, which the results' names then end in.
BENCHMARKS: dict[str, Callable[[Path, int], dict | dict[str, dict]]] = {
    "input_path_64": lambda folder, rounds: input_path.measure(folder, 64, 0, rounds),
    "input_path_224": lambda folder, rounds: input_path.measure(folder, 224, 0, rounds),
    "input_path_64_two_workers": lambda folder, rounds: input_path.measure(folder, 64, 2, rounds),
    "input_path_224_two_workers": lambda folder, rounds: input_path.measure(folder, 224, 2, rounds),
    "embedding_vit_tiny": lambda folder, rounds: embedding.measure(folder, BACKBONES["vit_tiny"], rounds),
    "embedding_efficientnet": lambda folder, rounds: embedding.measure(folder, BACKBONES["efficientnet"], rounds),
    "training_step_vit_tiny": lambda folder, rounds: training_step.measure(folder, "vit_tiny", rounds),
    "training_step_efficientnet": lambda folder, rounds: training_step.measure(folder, "efficientnet", rounds),
    "training_step_vit_small": lambda folder, rounds: training_step.measure(folder, "vit_small", rounds),
    "contrast_65k": contrast_65k.measure,
    "features_401k": features_401k.measure,
    "rows_4m": rows_4m.measure,
    "store_1m": store_1m.measure,
    "extrapolation_401k": extrapolation_401k.measure,
    "inspect_401k": inspect_401k.measure,
    "embed_folder": embed_folder.measure,
    "demo": demo.measure,
    "evaluation_milk10k": lambda folder, _: evaluation.measure(folder, "milk10k"),
    "evaluation_slice3d": lambda folder, _: evaluation.measure(folder, "slice3d"),
}
ASKED_FOR = ("demo", "evaluation_milk10k", "evaluation_slice3d", "inspect_401k")  # by name alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="*", choices=list(BENCHMARKS), default=[n for n in BENCHMARKS if n not in ASKED_FOR]
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    path = Path(__file__).parent / "results.json"
    results = {entry["name"]: entry for entry in json.loads(path.read_text())} if path.is_file() else {}
    print(f"{'':<44}{'ours':>9}{'peer':>9}{'ratio':>7}   {'spread':<15}{'unit':<23}peer")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.only:
            measured = BENCHMARKS[name](Path(folder), arguments.rounds)
            several = measured if "ours" not in measured else {"": measured}
            for peer, values in several.items():
                entry = {"name": f"{name}_{peer}" if peer else name, **values}
                results[entry["name"]] = entry
                print(_line(entry), flush=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps(list(results.values()), indent=2) + "\n")
            temporary.replace(path)


def _line(entry: dict) -> str:
    spread = "{:.2f} to {:.2f}".format(*entry["spread"])
    figures = f"{entry['ours']:>9.4g}{entry['peer']:>9.4g}{entry['ratio']:>7.2f}"
    return f"{entry['name']:<44}{figures}   {spread:<15}{entry['unit']:<23}{entry['peer_name']}"


if __name__ == "__main__":
    main()
