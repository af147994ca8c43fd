#!/bin/sh
# Training, embedding and probes on one GPU beside the bare backbone on the same card: one table, in under six minutes.
# Installs nothing. Python 3.11 or newer with torch 2.6 or newer, torchvision, timm, pandas, pyarrow, scikit-learn and
# safetensors will do; it says what else is absent, and does without.
#
# benchmarks/gpu.sh                         on CUDA
# benchmarks/gpu.sh --device cpu --small    tiny networks, to see that every row runs
here=$(dirname "$0")
PYTHONPATH="$here/../src${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-python3}" "$here/gpu.py" "$@"
