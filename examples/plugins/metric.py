"""A metric: how far the mean scores of anomalous and of normal frames are apart.

python -m vadbench --plugin metric.py model=frame_difference dataset=synthetic
"""

import numpy as np

from vadbench import plugins


@plugins.metric("separation", higher_is_better=True)
def separation(scores_by_video, labels_by_video):
    """Difference of the two means, in standard deviations of all scores; NaN where a class is missing."""
    scores = np.concatenate(list(scores_by_video.values()))
    labels = np.concatenate([labels_by_video[video] for video in scores_by_video])
    if labels.all() or not labels.any() or scores.std() == 0:
        return float("nan")
    return (scores[labels].mean() - scores[~labels].mean()) / scores.std()
