"""Round-by-round comparison of two measurements."""

import statistics
from pathlib import Path


def compare(ours: list[float], peer: list[float], peer_name: str, unit: str, *, lower_is_better: bool = False) -> dict:
    """Medians of both, and the median of the round-by-round ratios with its range; > 1 is in our favour."""
    ratios = [b / a if lower_is_better else a / b for a, b in zip(ours, peer, strict=True)]
    return {
        "ours": statistics.median(ours),
        "peer": statistics.median(peer),
        "peer_name": peer_name,
        "unit": unit,
        "ratio": statistics.median(ratios),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def memory_gb(name: str = "VmHWM") -> float:
    """Resident memory of this process, `VmHWM` at most or `VmRSS` now; ru_maxrss would count its parent's."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if name in line)) / 1e6
