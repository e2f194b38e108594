"""The summary of a model that ``train --steps=0`` prints."""

from __future__ import annotations

from models.features.spec import Spec
from pipelines import run_directory


def summarize(run: run_directory.Run, spec: Spec) -> str:
    """Return the networks of a run with their numbers of parameters, and its signatures."""
    plugin = run_directory.build_plugin(run, spec)
    lines = [f"{run.plugin} on {spec.kind} {spec.feature_shape()}, domains {', '.join(spec.domains)}"]
    for network in plugin.networks():
        lines.append(f"  {network.name:24} {str(network.input_shape):24} {network.count_params():>12,} parameters")
    lines.append(f"  signatures: {', '.join(sorted(plugin.signatures()))}")
    return "\n".join(lines)
