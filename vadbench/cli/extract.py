"""``extract OVERRIDES``: features only, split by video over processes or nodes.

Every rank takes its videos and leaves; nothing is gathered, nothing padded, and a dead rank costs its own videos only.
What the store then holds is the same for any split.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from vadbench.cli.commands import parser_of
from vadbench.config.compose import user_config_dirs
from vadbench.errors import ConfigError, VadbenchError
from vadbench.experiment.run import open_store
from vadbench.sweep.inventory import Inventory
from vadbench.sweep.lease import leased_gpu, visible_gpus
from vadbench.sweep.passes import passes
from vadbench.sweep.points import expand
from vadbench.sweep.worker import extract

_EPILOG = """examples:
  python -m vadbench extract model=fuvas dataset=avenue backbone=x3d_m
  torchrun --nproc-per-node 4 -m vadbench extract model=fuvas dataset=avenue backbone=x3d_m
  srun --ntasks 8 python -m vadbench extract model=fuvas dataset=avenue backbone=x3d_m
  python -m vadbench extract --rank 0 --world 2 ...     by hand, on two machines with one store

The overrides may name several layers (model.layer=blocks.2,blocks.3): they are one pass.
"""


def run(argv: Sequence[str]) -> int:
    """``extract [--rank R --world N] OVERRIDES``: extract this rank's share of the videos; 0, or 1 if one failed."""
    parser = parser_of(__doc__, _EPILOG)
    parser.add_argument("--rank", type=int, help="this process, from 0 (default: as torchrun or Slurm says)")
    parser.add_argument("--world", type=int, help="number of processes (default: as torchrun or Slurm says)")
    parser.add_argument("words", nargs="+", metavar="OVERRIDES", help="the overrides of a run or a sweep")
    given, words = parser.parse_known_args(user_config_dirs(argv))
    rank, world = place(given.rank, given.world)
    return extract_share([*given.words, *(w for w in words if w not in ("-m", "--multirun"))], rank, world)


def place(rank: int | None, world: int | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(rank, world): as given, else as torchrun, a Slurm step or a Slurm array says, else (0, 1).

    Raises
    ------
    ConfigError: only one of the two is known, or the rank is not below the world's size.
    """
    if rank is None and world is None:
        rank, world = _told(environment)
    if rank is None or world is None:
        raise ConfigError("--rank and --world go together: give both, or neither under torchrun or Slurm")
    if not 0 <= rank < world:
        raise ConfigError(f"--rank {rank} --world {world}: ranks go from 0 to {world - 1}")
    return rank, world


def _told(environment: Mapping[str, str]) -> tuple[int, int]:
    for rank, world in (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")):
        if rank in environment and int(environment.get(world, "1")) > 1:
            return int(environment[rank]), int(environment[world])
    if "SLURM_ARRAY_TASK_ID" in environment:
        first, step = (int(environment.get(f"SLURM_ARRAY_TASK_{k}", d)) for k, d in (("MIN", "0"), ("STEP", "1")))
        count = int(environment.get("SLURM_ARRAY_TASK_COUNT", "1"))
        return (int(environment["SLURM_ARRAY_TASK_ID"]) - first) // (step or 1), count
    return 0, 1


def extract_share(words: Sequence[str], rank: int, world: int) -> int:
    """Extract rank's share of all videos that the points of the overrides ``words`` need; returns the exit status."""
    points = expand(words)
    config = points[0].config
    local = int(os.environ.get("LOCAL_RANK", "0"))
    gpus = visible_gpus() if config.runtime.device in ("auto", "cuda") else []
    if "LOCAL_RANK" in os.environ and len(gpus) > 1:
        # torchrun numbers its processes on a machine, and each takes the GPU of its number.
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[local % len(gpus)]
        gpus = []
    with leased_gpu(gpus):
        items = Inventory().items(points)
        faults = [item.fault for item in items if item.fault]
        if faults:
            raise VadbenchError("\n".join(dict.fromkeys(faults)))
        store = open_store(config)
        failed = extract(passes(items), store, rank, world, help_others=False)
    counts = store.counts
    print(
        f"rank {rank} of {world}: {counts.misses} outputs extracted in {counts.extract_s:.1f} s, "
        f"{counts.hits} were there, {failed} videos failed; store: {store.root}"
    )
    return 1 if failed else 0
