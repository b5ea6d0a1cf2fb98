"""The benchmarks of the training engine, shortened: few images, pixels and repetitions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.records import read
from benchmarks.training import devices, gpu, memory, prefixes, steps
from optuna_layerwise.training.prefixes import LEAST_FLOPS_PER_BYTE

pytestmark = pytest.mark.slow


def test_every_cut_of_a_network_is_a_line_and_none_is_run_twice(
    shared_data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "prefixes.jsonl"
    flags = ["--data", str(shared_data / "citrus"), "--output", str(output)]
    least = dict(LEAST_FLOPS_PER_BYTE)
    for _ in range(2):
        prefixes.main([*flags, "--networks", "resnet20", "digits_cnn"])
    assert least == LEAST_FLOPS_PER_BYTE, "the script changes what pays in itself only"
    cells = read(output)
    assert [(c["network"], c["trained"]) for c in cells] == [
        *(("resnet20", block) for block in ("layer1", "layer2", "layer3", "head")),
        *(("digits_cnn", block) for block in ("stage1", "stage2", "stage3", "head")),
    ]
    for cell in cells:
        assert cell["bits"] and cell["largest_relative_difference"] == 0
        first, second, without = cell["flops"]
        assert second <= first <= without
    assert "| resnet20 | 4 | 4 | 0 |" in output.with_suffix(".md").read_text()


def test_a_step_is_measured_against_its_bounds(shared_data: Path, tmp_path: Path) -> None:
    output = tmp_path / "steps.jsonl"
    flags = ["--data", str(shared_data / "citrus"), "--output", str(output)]
    flags += ["--image-sizes", "40", "--batch-sizes", "4", "--steps", "2", "--repetitions", "2"]
    steps.main([*flags, "--networks", "mobilenet", "--masks", "everything", "head"])
    everything, head = read(output)
    assert everything["share_of_operations"] == 1.0
    assert 1 / 3 < head["share_of_operations"] < 0.4
    for cell in (everything, head):
        seconds = cell["seconds"]
        assert {len(values) for values in seconds.values()} == {2}
        assert min(min(values) for values in seconds.values()) > 0
        pieces = sum(v[0] for n, v in seconds.items() if n.startswith("piece: "))
        assert pieces - seconds.get("piece: read", [0.0])[0] == pytest.approx(
            seconds["sum of pieces"][0], abs=1e-5
        )
    assert "piece: read" in head["seconds"] and "piece: read" not in everything["seconds"]
    assert output.with_suffix(".md").read_text().count("| mobilenet, 40, 4 |") == 2


def test_memory_is_that_of_a_process_and_values_do_not_depend_on_the_place(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "memory.jsonl"
    flags = ["--data", str(shared_data / "citrus"), "--output", str(output), "--trials", "3"]
    flags += ["--weights", str(shared_data / "weights/mobilenet_v2_w035_imagenet_notop.pth")]
    flags += ["--epochs", "1", "--image-size", "40", "--repetitions", "1"]
    monkeypatch.setattr(sys, "argv", ["memory", *flags])
    memory.main(flags)
    runs = {run["place"]: run for run in read(output)}
    assert runs["disk"]["values"] == runs["memory"]["values"]
    assert runs["disk"]["prefix_bytes"]["memory"] == 0 < runs["disk"]["prefix_bytes"]["disk"]
    assert all(100 < run["megabytes"] < 2048 for run in runs.values())
    assert "values are all equal" in output.with_suffix(".md").read_text()


def test_ways_to_compute_take_turns(shared_data: Path, tmp_path: Path) -> None:
    output = tmp_path / "devices.jsonl"
    flags = ["--data", str(shared_data / "citrus"), "--output", str(output), "--device", "cpu"]
    flags += ["--networks", "mobilenet", "--image-sizes", "32", "--images", "8"]
    devices.main([*flags, "--batch-size", "4", "--repetitions", "2", "--ways", "fp32", "bf16"])
    [cell] = read(output)
    assert {way: len(times) for way, times in cell["epoch_seconds"].items()} == {
        "fp32": 2,
        "bf16": 2,
    }
    assert cell["images"] == 8
    assert "| mobilenet, 32, 4 | bf16 |" in output.with_suffix(".md").read_text()


@pytest.mark.filterwarnings("ignore:the search starts from random weights")
def test_the_script_for_a_gpu_runs_on_a_cpu(shared_data: Path, tmp_path: Path) -> None:
    output = tmp_path / "gpu.jsonl"
    flags = ["--data", str(shared_data / "citrus"), "--output", str(output), "--device", "cpu"]
    flags += ["--network", "resnet18", "--images", "12", "--image-size", "32", "--epochs", "1"]
    for _ in range(2):
        gpu.main([*flags, "--trials", "2", "--others"])
    [search] = read(output)
    assert search["published_minutes"] * 60 == pytest.approx(search["seconds"] * 50 * 3 * 15)
    assert 0 < search["pflop"] <= search["pflop_of_all"]
