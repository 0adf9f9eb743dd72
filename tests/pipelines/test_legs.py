"""What a run wants of a cluster, against what the cluster has: decided before anything starts."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest

from pipelines.local_runner import Leg
from pipelines.ray_room import lacking, model_workers
from pipelines.stages import STAGES, legs_of
from schemas.config import Config

CPU = Leg(("video", "cameras"))
MODEL = Leg(("objects",), 1.0, 0.5, "objects.backend=sam3")
BEHIND = Leg(("relations", "questions"))
NODE, GPU_NODE = {"CPU": 4.0, "memory": 1e9}, {"CPU": 4.0, "GPU": 2.0}


def test_stages_without_a_model_share_a_worker_and_a_model_has_its_own() -> None:
    plain = legs_of(STAGES, Config())
    assert len(plain) == 1 and plain[0].stages == tuple(s.name for s in STAGES) and not plain[0].model
    learned = legs_of(STAGES, Config.model_validate({"objects": {"backend": "sam3"}}))
    (model,) = [leg for leg in learned if leg.model]
    assert model.stages == ("objects",) and model.gpus == 0.5 and model.model == "objects.backend=sam3"
    assert [name for leg in learned for name in leg.stages] == [s.name for s in STAGES]
    on_cpu = legs_of(STAGES, Config.model_validate({"objects": {"backend": "sam3", "device": "cpu"}}))
    assert all(leg.gpus == 0 for leg in on_cpu) and any(leg.model for leg in on_cpu)


@pytest.mark.parametrize(
    ("options", "model", "gpus"),
    [
        ({"cameras": {"backend": "vggt"}}, {"cameras": "cameras.backend=vggt"}, 1.0),
        ({"cameras": {"features": "superpoint"}}, {"cameras": "cameras.features=superpoint"}, 0.125),
        ({"cameras": {"features": "aliked"}}, {"cameras": "cameras.features=aliked"}, 0.125),
        ({"depth": {"mono": "depth_pro"}}, {"cameras": "depth.mono=depth_pro", "objects": "depth.mono=depth_pro"}, 1.0),
        ({"depth": {"mono": "depth_pro", "device": "cpu"}}, dict.fromkeys(("cameras", "objects"), "depth.mono=depth_pro"), 0.0),
        ({"objects": {"points": "cotracker"}}, {"objects": "objects.points=cotracker"}, 0.25),  # it leads all point tracks
        (
            {"objects": {"backend": "onnx", "points": "cotracker", "device": "cuda:1"}},
            {"objects": "objects.backend=onnx, objects.points=cotracker"},
            0.25,
        ),
    ],
)
def test_every_option_that_asks_for_a_model_has_a_worker_that_keeps_it(
    options: dict[str, Any], model: dict[str, str], gpus: float
) -> None:
    legs = legs_of(STAGES, Config.model_validate(options))
    assert {leg.stages[0]: leg.model for leg in legs if leg.model} == model
    assert sum(leg.gpus for leg in legs) == gpus


def test_no_model_is_left_out_of_the_resources() -> None:
    from pipelines import resources

    for option, shares in resources._GPU_SHARE.items():
        section, name = option.split(".")
        values = get_args(get_type_hints(type(getattr(Config(), section)))[name])
        plain = {getattr(getattr(Config(), section), name)}
        assert set(values) - plain == set(shares), f"{option}: every choice but the plain one declares its share"


@pytest.mark.parametrize(
    ("legs", "nodes", "wanted", "words"),
    [
        ([CPU, MODEL, BEHIND], [NODE, GPU_NODE], 0, ""),
        ([CPU, MODEL, BEHIND], [NODE, GPU_NODE], 4, ""),
        (
            [CPU, MODEL, BEHIND],
            [NODE],
            0,
            r"needs 0.5 GPU for objects .objects.backend=sam3., the cluster has 0 .*objects.device=cpu",
        ),
        ([CPU], [], 0, "needs 1 CPU for a clip"),
        ([CPU, MODEL], [NODE, GPU_NODE], 5, "needs 2.5 GPU at a time for 5 x objects .*has 2: set run.model_workers=<fewer>"),
        ([CPU, MODEL], [{"CPU": 1.0, "GPU": 1.0}], 0, "needs 2 CPU at a time .* and 1 for the other stages, the cluster has 1"),
        ([Leg((), 8.0)], [NODE, NODE], 0, "needs 8 CPU for a clip .run.cpus_per_clip., the largest node of the cluster has 4"),
        (
            [Leg(("objects",), 6.0, 1.0, "m.n=x")],
            [{"CPU": 8.0}, {"CPU": 4.0, "GPU": 1.0}],
            0,
            "needs 6 CPU and 1 GPU on one node",
        ),
    ],
)
def test_what_is_lacking_is_said_with_a_way_out(legs: list[Leg], nodes: list[dict[str, float]], wanted: int, words: str) -> None:
    import re

    said = lacking(legs, nodes, wanted)
    assert (said == "") if not words else re.search(words, said), said


def test_model_workers_fill_the_gpus_and_leave_cores_for_the_rest() -> None:
    legs = [CPU, MODEL, BEHIND]
    assert model_workers(MODEL, legs, [NODE, GPU_NODE], 0) == 4
    assert model_workers(MODEL, legs, [{"CPU": 4.0, "GPU": 2.0}], 0) == 2, "two cores belong to the other legs"
    assert model_workers(MODEL, legs, [NODE, GPU_NODE], 3) == 3
    assert model_workers(Leg(("objects",), 1.0, 0.0, "objects.backend=onnx"), legs, [NODE], 0) == 1
