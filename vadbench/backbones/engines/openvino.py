"""OpenVINO on a CPU: the network is converted once for a size of clips, and kept for later processes."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vadbench.backbones.engines import converted
from vadbench.backbones.engines.eager import Eager
from vadbench.backbones.engines.traced import BOUND, distance, in_blocks, traced
from vadbench.backbones.imports import installed_version
from vadbench.errors import VadbenchError

if TYPE_CHECKING:
    import torch

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def installed() -> bool:
    """Return whether OpenVINO is installed; nothing is imported."""
    return importlib.util.find_spec("openvino") is not None


class OpenVino:
    """Runs as many rows at once as ``eager`` says, clips one by one, so that features do not depend on the batch.

    The threads are as many as PyTorch's at this moment.

    Parameters
    ----------
    eager: what to compute, and the reference.
    inputs: a clip ``(1, 3, T, H, W)``, any of the wanted size; a new conversion must agree with eager on it.

    Raises
    ------
    VadbenchError: what was converted computes something else. Others: whatever OpenVINO can't convert.
    """

    def __init__(self, eager: Eager, *inputs: torch.Tensor) -> None:
        self.mark = f"openvino {installed_version('openvino')}"
        self.names, self.rows = eager.names, eager.rows
        place = converted.place(eager, [list(x.shape) for x in inputs], self.mark)
        kept = converted.read(place)
        model = _convert(eager, *inputs) if kept is None else _core().read_model(kept[0], _tensor(kept[1]))
        if kept is None:
            # In 32-bit floats whatever the precision: a wrong conversion must not hide in the rounding of bfloat16.
            exact = eager.exact()(*inputs)
            self._request = _compiled(model, "float32")
            found = distance(self(*inputs), exact)
            if not found <= BOUND["float32"]:
                raise VadbenchError(
                    f"what it computes differs from eager by {found:.1e} of the features, more than "
                    f"{BOUND['float32']:.0e}"
                )
            converted.write(place, *_parts(model))
        if kept is not None or eager.precision != "float32":
            self._request = _compiled(model, eager.precision)

    def __call__(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Layer to its output of clips ``(N, 3, T, H, W)``."""
        return dict(zip(self.names, in_blocks(self._block, self.rows, inputs), strict=True))

    def _block(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        import torch

        self._request.infer([np.ascontiguousarray(x.numpy()) for x in inputs])
        outputs = (self._request.get_output_tensor(i).data for i in range(len(self.names)))
        return [torch.from_numpy(output.copy()) for output in outputs]


def _core() -> Any:
    import openvino

    return openvino.Core()


def _convert(eager: Eager, *inputs: torch.Tensor) -> Any:
    import openvino
    import torch

    graph = traced(eager.exact(), *inputs)
    with torch.no_grad():
        model = openvino.convert_model(torch.export.export(graph, inputs))
    # Static: its memory and its kernels are planned once.
    model.reshape({i: list(x.shape) for i, x in enumerate(inputs)})
    return model


def _compiled(model: Any, precision: str) -> Any:
    import torch

    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # Pinned threads of several processes would all sit on the first cores.
        "ENABLE_CPU_PINNING": False,
        "ENABLE_HYPER_THREADING": False,
    }
    return _core().compile_model(model, "CPU", settings).create_infer_request()


def _parts(model: Any) -> tuple[bytes, bytes]:
    """Return a model's structure and its weights, as OpenVINO writes them."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        openvino.save_model(model, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def _tensor(weights: bytes) -> Any:
    import openvino

    return openvino.Tensor(np.frombuffer(weights, np.uint8))
