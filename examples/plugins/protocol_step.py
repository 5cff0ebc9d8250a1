"""A protocol step: exponential smoothing, which uses no later frame.

python -m vadbench --plugin protocol_step.py model=frame_difference dataset=synthetic \\
    "protocol.steps=[{kind: exponential, keep: 0.8}]"
"""

from dataclasses import dataclass

from vadbench import plugins


@dataclass
class ExponentialConfig:
    """Exponential smoothing along time."""

    keep: float = 0.9  # share of the smoothed score that stays from frame to frame


@plugins.protocol_step("exponential", config=ExponentialConfig, look_ahead=lambda config, dataset: 0)
def exponential(config, scores, dataset):
    """Return smoothed ``scores (T,)``."""
    smooth = scores.copy()
    for frame in range(1, len(scores)):
        smooth[frame] = config.keep * smooth[frame - 1] + (1 - config.keep) * scores[frame]
    return smooth
