"""What the legs of a run want of a cluster, held against what its nodes have. Nothing here talks to Ray."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.local_runner import Leg


def lacking(legs: Sequence[Leg], nodes: Sequence[dict[str, float]], wanted_workers: int) -> str:
    """What the cluster lacks to run all legs at a time, as a sentence with a way out; "" where it lacks nothing.

    All must fit together: workers that hold a model never give their cores back, so that the others would wait for ever.
    """
    total = {name: sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU")}
    for leg in legs:
        who = f"{', '.join(leg.stages)} ({leg.model})" if leg.model else "a clip (run.cpus_per_clip)"
        if leg.gpus and not any(node.get("GPU", 0.0) >= leg.gpus for node in nodes):
            largest = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
            return (
                f"needs {leg.gpus:g} GPU for {who}, the cluster has {total['GPU']:g} (largest node: {largest:g}): set "
                f"{_other_way(leg)}, run.gpus_per_model=<less>, or add a node with a GPU"
            )
        if not any(node.get("CPU", 0.0) >= leg.cpus and node.get("GPU", 0.0) >= leg.gpus for node in nodes):
            largest = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
            return (
                f"needs {leg.cpus:g} CPU{f' and {leg.gpus:g} GPU on one node' if leg.gpus else ''} for {who}, the largest node "
                f"of the cluster has {largest:g} CPU: set run.cpus_per_clip=<less> or add a larger node"
            )
    models = [leg for leg in legs if leg.model]
    for name in ("GPU", "CPU"):
        each = [leg.gpus if name == "GPU" else leg.cpus for leg in models]
        rest = max((leg.cpus for leg in legs if not leg.model), default=0.0) if name == "CPU" else 0.0
        need = sum(each) * max(wanted_workers, 1) + rest
        if models and need > total[name] + 1e-6:
            who = ", ".join(f"{max(wanted_workers, 1)} x {', '.join(leg.stages)} ({leg.model})" for leg in models)
            return (
                f"needs {need:g} {name} at a time for {who}{f' and {rest:g} for the other stages' if rest else ''}, the cluster "
                f"has {total[name]:g}: set run.model_workers=<fewer>, run.cpus_per_clip=<less>, or add a node"
            )
    return ""


def _other_way(leg: Leg) -> str:
    """The options that do without a GPU."""
    sections = dict.fromkeys(option.partition(".")[0] for option in leg.model.split(", ") if option)
    return ", ".join(f"{section}.device=cpu" for section in sections) or "another backend"


def model_workers(leg: Leg, legs: Sequence[Leg], nodes: Sequence[dict[str, float]], wanted: int) -> int:
    """How many workers with this leg's model: as asked, or what the nodes hold while every other leg keeps one worker."""
    if wanted:
        return wanted
    if not leg.gpus:
        return 1
    by_gpu = sum(int(node.get("GPU", 0.0) / leg.gpus + 1e-6) for node in nodes)
    sharing = sum(1 for other in legs if other.gpus)
    others = sum(other.cpus for other in legs if other is not leg)
    by_cpu = int((sum(node.get("CPU", 0.0) for node in nodes) - others) / leg.cpus)
    return max(1, min(by_gpu // sharing, by_cpu))
