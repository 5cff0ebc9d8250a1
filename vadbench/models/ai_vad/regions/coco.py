"""Names and numbers of the COCO categories: torchvision counts 1 to 90 with gaps, YOLO models 0 to 79 without."""

from __future__ import annotations

_NAMES = """
foreground,person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,,stop sign,
parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,,backpack,umbrella,,,handbag,tie,suitcase,
frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,,
wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,
potted plant,bed,,dining table,,,toilet,,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,
refrigerator,,book,clock,vase,scissors,teddy bear,hair drier,toothbrush
"""

CATEGORIES = {number: name for number, name in enumerate(_NAMES.replace("\n", "").split(",")) if name}
"""COCO category number to name; 0 is moving foreground of no known class."""

WITHOUT_GAPS = tuple(number for number in CATEGORIES if number > 0)
"""The number of each of the 80 categories of a model that counts from 0 without gaps."""

PERSON = 1
WHOLE_FRAME = -1
"""The label of a frame in which nothing was found and which is one region as a whole."""


def category(label: int) -> str:
    """Name of a category number."""
    if label == WHOLE_FRAME:
        return "whole frame"
    return CATEGORIES.get(int(label), f"class {int(label)}")
