"""The synthetic dataset: the same bits everywhere, masks that are what is drawn, a cache that is whole or absent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.unit.data.configs import config
from vadbench.data.datasets.synthetic import dataset, render
from vadbench.data.datasets.synthetic.dataset import SyntheticConfig
from vadbench.data.datasets.synthetic.scene import Camera, background
from vadbench.data.datasets.synthetic.script import KINDS, Agent, plan, script
from vadbench.data.registry import dataset_digest, label_digest, load_dataset
from vadbench.data.video import Dataset, Video
from vadbench.errors import DataError, StoreError
from vadbench.models.baselines import FrameDifferenceEnergy

SMALL: dict[str, Any] = {"n_train": 2, "n_test": 6, "n_frames": 36, "size": (64, 96)}
TINY: dict[str, Any] = {"n_train": 1, "n_test": 1, "n_frames": 24, "size": (48, 64)}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("synthetic")


@pytest.fixture(scope="module")
def small(cache: Path) -> Dataset:
    return load_dataset(config("synthetic", cache, **SMALL))


def digests(dataset: Dataset) -> tuple[str, str]:
    return dataset_digest(dataset), label_digest(dataset)


def stacked(video: Video) -> tuple[np.ndarray, pd.DataFrame]:
    """Masks ``bool (T, H, W)`` and tracks of a test video."""
    assert video.masks is not None and video.tracks is not None
    return np.stack([video.masks[t] for t in range(video.n_frames)]), video.tracks


def test_two_caches_hold_the_same_bits(small: Dataset, tmp_path: Path) -> None:
    again = load_dataset(config("synthetic", tmp_path, **SMALL))
    assert digests(again) == digests(small)
    files = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    root = Path(small.tree).parent
    assert len(files) == 2 + 6 * 3 + 2  # frames of all, masks and tracks of the test videos, manifest, lock
    assert all((root / name).read_bytes() == content for name, content in files.items())


def test_another_process_with_other_hashes_makes_the_same_bits(tmp_path: Path) -> None:
    words = [f"dataset.{key}={str(list(v)) if isinstance(v, tuple) else v}" for key, v in TINY.items()]
    done = subprocess.run(
        [sys.executable, "-m", "vadbench", "check", "dataset=synthetic", f"dataset.root={tmp_path / 'other'}", *words],
        env={**os.environ, "PYTHONHASHSEED": "77"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    here = load_dataset(config("synthetic", tmp_path / "here", **TINY))
    assert all(digest in done.stdout for digest in digests(here))


@pytest.mark.parametrize("change", [{"seed": 1}, {"noise": 1.0}, {"n_frames": 37}, {"size": (64, 98)}])
def test_every_setting_has_its_own_copy(small: Dataset, cache: Path, change: dict[str, Any]) -> None:
    other = load_dataset(config("synthetic", cache, **{**SMALL, "n_train": 1, "n_test": 1, **change}))
    assert other.tree != small.tree
    assert other.test[0].source.digest() != small.test[0].source.digest()


def test_more_videos_leave_the_others_as_they_are(small: Dataset, cache: Path) -> None:
    fewer = load_dataset(config("synthetic", cache, **{**SMALL, "n_train": 1, "n_test": 2}))
    for one, same in zip([*fewer.train, *fewer.test], [small.train[0], *small.test[:2]], strict=True):
        assert (one.id, one.source.digest()) == (same.id, same.source.digest())


def scripted(index: int, split: str = "test") -> tuple[Camera, np.ndarray, list[Agent], np.random.Generator]:
    """Camera, scene, agents of a video of the small set, and the generator that its renderer is given."""
    settings = config("synthetic", None, **SMALL)
    camera = Camera(settings.size)
    rng = np.random.default_rng([settings.seed, 1 if split == "train" else 2, index])
    agents = script(rng, camera, settings.n_frames, plan(index) if split == "test" else [])
    return camera, background(np.random.default_rng([settings.seed, 0]), camera), agents, rng


def painted(monkeypatch: pytest.MonkeyPatch, index: int, chosen: set[int], level: int) -> np.ndarray:
    """``float (T, H, W)``: the video without noise, all agents whose track is in ``chosen`` of one grey level."""
    camera, scene, agents, rng = scripted(index)
    genuine = render._body

    def coloured(agent: Agent, pose: Any, frame: int) -> Any:
        body = genuine(agent, pose, frame)
        if agent.track not in chosen or not agent.anomalous[frame]:
            return body
        return render._Body(body.ends, body.radii, [(level, level, level, 255)] * len(body.colours))

    monkeypatch.setattr(render, "_body", coloured)
    frames = [r.frame[..., 1] for r in render.render(agents, scene, camera, SMALL["n_frames"], 0.0, rng)]
    monkeypatch.undo()
    return np.stack(frames).astype(float)


@pytest.mark.parametrize("index", range(6))
def test_masks_are_what_is_drawn_of_the_anomalous_agents(
    small: Dataset, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    """Painted black and painted white, a picture differs by 255 times what is seen of the agent, and nowhere else.

    Shadows are the same in both, what is hidden differs in neither.
    """
    masks, _ = stacked(small.test[index])
    tracks = {agent.track for agent in scripted(index)[2] if agent.anomalous.any()}
    share = np.zeros(masks.shape)  # the agent that is seen most
    for track in tracks:
        seen = painted(monkeypatch, index, {track}, 255) - painted(monkeypatch, index, {track}, 0)
        share = np.maximum(share, seen / 255)
    sure = np.abs(share - 0.5) > 0.04  # the light wavers by 2%, and grey levels are whole
    assert np.array_equal(masks[sure], share[sure] > 0.5)
    assert sure.mean() > 0.99 and masks.any() == (index != 5)


def test_masks_are_of_the_frames_that_are_stored(small: Dataset) -> None:
    """The stored frames are those of the script, rendered here again agent by agent."""
    for index in (0, 3):
        camera, scene, agents, rng = scripted(index)
        again = [r.frame for r in render.render(agents, scene, camera, SMALL["n_frames"], 2.0, rng)]
        assert np.array_equal(np.stack(again), np.stack(list(small.test[index].frames())))


def test_labels_are_any_mask_pixel(small: Dataset) -> None:
    for video in small.test:
        masks, _ = stacked(video)
        assert video.labels is not None and masks.shape == (36, 64, 96)
        assert np.array_equal(video.labels, masks.any(axis=(1, 2)))
    shares = [float(np.mean(video.labels)) for video in small.test if video.labels is not None]
    assert shares[5] == 0 and all(0 < share < 1 for share in shares[:5]), shares


def test_boxes_are_the_extent_of_the_masks(small: Dataset) -> None:
    for video in small.test:
        masks, tracks = stacked(video)
        for t, mask in enumerate(masks):
            boxes = tracks[tracks["frame"] == t]
            assert boxes["track"].is_unique and mask.any() == (len(boxes) > 0)
            if mask.any():
                ys, xs = np.nonzero(mask)
                low, high = boxes[["x1", "y1"]].min().tolist(), boxes[["x2", "y2"]].max().tolist()
                assert (low, high) == ([xs.min(), ys.min()], [xs.max() + 1, ys.max() + 1])
                inside = np.zeros_like(mask)
                for row in boxes.itertuples():
                    inside[row.y1 : row.y2, row.x1 : row.x2] = True
                assert not mask[~inside].any()


def test_every_kind_of_anomaly_is_there_and_says_why(small: Dataset) -> None:
    tables = [stacked(video)[1].assign(video=video.id) for video in small.test]
    tracks = pd.concat(tables, ignore_index=True)
    assert set(tracks["kind"]) == set(KINDS)
    assert tracks.groupby(["video", "track"])[["kind", "why"]].nunique().eq(1).all(axis=None)
    words = {
        "runner": "runs at",
        "cyclist": "bicycle",
        "wrong_way": "against",
        "left_object": "bag",
        "loiterer": "stands",
    }
    for kind, word in words.items():
        assert tracks.loc[tracks["kind"] == kind, "why"].str.contains(word).all()
    of = {video.id: set(stacked(video)[1]["kind"]) for video in small.test}
    assert of["test_01"] == {"runner"} and of["test_04"] == {"left_object", "cyclist"} and of["test_06"] == set()


def test_nothing_is_anomalous_in_training(small: Dataset) -> None:
    for index, video in enumerate(small.train):
        assert (video.labels, video.masks, video.tracks) == (None, None, None)
        agents = scripted(index, "train")[2]
        assert {agent.kind for agent in agents} == {"walker"} and not any(agent.anomalous.any() for agent in agents)
        moves = [(a, b) for agent in agents for a, b in zip(agent.poses, agent.poses[1:], strict=False) if a and b]
        assert moves and all(b.x > a.x for a, b in moves)  # everybody walks towards +X


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The share of pairs of an anomalous and a normal frame in which the anomalous one scores higher."""
    anomalous, normal = scores[labels][:, None], scores[~labels][None, :]
    return float(((anomalous > normal) + 0.5 * (anomalous == normal)).mean())


def motion_auroc(dataset: Dataset) -> float:
    energy = [FrameDifferenceEnergy().extract(v, ["energy"], {})["energy"]["energy"] for v in dataset.test]
    return auroc(np.concatenate(energy), np.concatenate([v.labels for v in dataset.test if v.labels is not None]))


def test_motion_alone_helps_but_does_not_solve_it(tmp_path: Path) -> None:
    assert 0.6 < motion_auroc(load_dataset(config("synthetic", tmp_path, n_train=1))) < 0.8


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_that_holds_for_other_seeds(tmp_path: Path, seed: int) -> None:
    assert 0.55 < motion_auroc(load_dataset(config("synthetic", tmp_path, n_train=1, seed=seed))) < 0.9


# Rendered are as many videos as it is told; before the next one it waits for a line that nobody writes.
GENERATE = """
import sys
from tests.unit.data.configs import config
from vadbench.data.datasets.synthetic import dataset
render, left = dataset._render_video, int(sys.argv[3])
def some(*arguments):
    global left
    if not left:
        sys.stdin.readline()
    left -= 1
    render(*arguments)
dataset._render_video = some
settings = config("synthetic", sys.argv[1], n_train=int(sys.argv[2]), n_test=1, n_frames=24, size=(48, 64))
print("ready", flush=True)
sys.stdin.readline()
print(dataset.generate(settings), flush=True)
"""


def generator(root: Path, n_train: int, n_rendered: int = -1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", GENERATE, str(root), str(n_train), str(n_rendered)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


FORK = """
import os, sys
from tests.unit.data.configs import config
import cv2, vadbench.data.datasets.synthetic.render
from vadbench.data.datasets.synthetic.dataset import generate
settings = config("synthetic", sys.argv[1], n_train=3, n_test=1, n_frames=24, size=(48, 64))
waiting, gate = os.pipe()
for _ in range(10):
    if os.fork() == 0:
        os.close(gate)
        os.read(waiting, 1)  # until all have started and the gate closes
        os.write(1, f"{generate(settings)}\\n".encode())
        os._exit(0)
os.close(gate)
sys.exit(any(os.wait()[1] for _ in range(10)))
"""


def test_ten_processes_at_once_make_one_whole_set(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORK, str(tmp_path / "many")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    folders = done.stdout.split()
    assert len(folders) == 10 and len(set(folders)) == 1, done
    settings = config("synthetic", tmp_path / "many", **{**TINY, "n_train": 3})
    alone = config("synthetic", tmp_path / "alone", **{**TINY, "n_train": 3})
    assert digests(load_dataset(settings)) == digests(load_dataset(alone))
    left = sorted((tmp_path / "many").iterdir())
    assert [path.suffix for path in left] == [".lock", ""] and str(left[1]) == folders[0]  # the lock and the set


def test_a_killed_generator_leaves_nothing_that_reads_as_complete(tmp_path: Path) -> None:
    process = generator(tmp_path, 15, n_rendered=3)
    go(process)
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob(".synthetic-*/train_03/frames.npy")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert not list(tmp_path.glob("synthetic-*")) and not list(tmp_path.rglob("manifest.json"))
    settings: SyntheticConfig = config("synthetic", tmp_path, **{**TINY, "n_train": 15})
    made = load_dataset(settings)
    assert len(made.train) == 15 and all(video.n_frames == 24 for video in made.train)
    assert not [path for path in tmp_path.glob(".synthetic-*") if path.is_dir()]  # nor what it left behind


def test_a_copy_without_its_manifest_is_rendered_again(tmp_path: Path) -> None:
    settings = config("synthetic", tmp_path, **TINY)
    before, folder = digests(load_dataset(settings)), dataset.generate(settings)
    (folder / "manifest.json").unlink()
    (folder / "train_01" / "frames.npy").write_bytes(b"cut short")
    assert digests(load_dataset(settings)) == before


def test_a_damaged_copy_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    settings = config("synthetic", tmp_path, **TINY)
    folder = dataset.generate(settings) / "test_01"
    for name in ("frames.npy", "masks.npy", "tracks.csv"):
        content = (folder / name).read_bytes()
        for damaged in (None, b"", content[: len(content) // 2] if name != "tracks.csv" else b""):
            (folder / name).unlink()
            if damaged is not None:
                (folder / name).write_bytes(damaged)
            with pytest.raises(DataError, match=r"synthetic-\w+ is damaged .*Remove it, and it is rendered again"):
                load_dataset(settings)
            (folder / name).write_bytes(content)
    load_dataset(settings)


@pytest.mark.parametrize("root", ["/proc/vadbench", "file/below"])
def test_a_root_that_cant_be_written_is_a_store_error(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"can't be written to .*dataset\.root=FOLDER"):
        load_dataset(config("synthetic", tmp_path / root, **TINY))
