"""What is printed when a run ends."""

from __future__ import annotations

from pathlib import Path

from vadbench.report.result import format_result


def entry(value: float | None, **more: object) -> dict[str, object]:
    return {"value": value, "ci_low": None, "ci_high": None, "n_videos": 2, "protocol": "aed_mae"} | more


def test_a_blank_number_is_called_so_and_its_reason_is_said_once() -> None:
    names = {"model": "mine", "backbone": None, "layer": None, "dataset": "d", "protocol": "aed_mae"}
    data = {"train_videos": 1, "train_frames": 9, "test_videos": 2, "test_frames": 20, "anomalous_frames": 5}
    blank = entry(None, blank="scores go down to -3")
    record = {
        "names": names, "seed": 0, "dataset": data, "coverage": {"filled": 0, "frames": 20}, "weights": [],
        "metrics": {"frame_auroc_micro": blank, "frame_ap": blank, "frame_eer": entry(None)},
        "baselines": {"flow_percentile": entry(0.5)}, "warnings": [],
    }  # fmt: skip
    lines = format_result(record, Path("nowhere"), existed=False, store=None).splitlines()
    shown = {line[:26].strip(): line[26:].split()[0] for line in lines if line.startswith("  frame ")}
    assert shown == {"frame AUROC, micro": "blank", "frame AP": "blank", "frame EER": "undefined"}
    assert [line.strip() for line in lines if "-3" in line] == ["blank: scores go down to -3"]
    assert any(line.split() == ["flow", "percentile", "0.5000"] for line in lines)
