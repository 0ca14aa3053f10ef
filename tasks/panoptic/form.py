"""Segments and classes in the form of COCO's panoptic files, which its evaluator reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.commands.journal import Entry
from tasks.panoptic.annotations import Category
from tasks.panoptic.config import DataConfig
from tasks.panoptic.fusion import Part


def known_categories(data: DataConfig) -> list[Category]:
    """The classes of a run in the order of their labels; where it has no ids, labels are these."""
    names = [(name, True) for name in data.things] + [(name, False) for name in data.stuff]
    ids = (*data.thing_ids, *data.stuff_ids)
    numbers = ids if len(ids) == len(names) else range(1, len(names) + 1)
    return [
        Category(number, name, thing) for number, (name, thing) in zip(numbers, names, strict=True)
    ]


def categories_of(categories: Sequence[Category]) -> list[dict[str, Any]]:
    """Classes in COCO's panoptic form."""
    return [{"id": one.id, "name": one.name, "isthing": int(one.thing)} for one in categories]


def segments_info(segments: Sequence[Part], categories: Sequence[Category]) -> list[dict[str, Any]]:
    """Segments of a picture in COCO's panoptic form; things have a score besides."""
    return [
        {
            "id": one.number,
            "category_id": categories[one.label - 1].id,
            "isthing": int(categories[one.label - 1].thing),
            "area": one.area,
            "iscrowd": 0,
            **({} if one.score is None else {"score": round(one.score, 6)}),
        }
        for one in segments
    ]


def coco_form(entries: Sequence[Entry], categories: list[dict[str, Any]]) -> dict[str, Any]:
    """What was found in COCO's panoptic form; videos, of which it knows none, are listed apart.

    Pictures that are called by numbers, as COCO's are, have these for ids; others are counted.
    """
    pictures = [one for one in entries if "segments_info" in one]
    stems = [Path(one["file_name"]).stem for one in pictures]
    numbered = all(stem.isdecimal() for stem in stems) and len(set(map(int, stems))) == len(stems)
    ids = [int(stem) for stem in stems] if numbered else list(range(1, len(stems) + 1))
    return {
        "images": [
            {
                "id": number,
                **{key: one[key] for key in ("file_name", "height", "width", "panoptic")},
            }
            for number, one in zip(ids, pictures, strict=True)
        ],
        "annotations": [
            {
                "image_id": number,
                "file_name": one["panoptic"],
                "segments_info": one["segments_info"],
            }
            for number, one in zip(ids, pictures, strict=True)
        ],
        "categories": categories,
        "videos": [one for one in entries if "frames" in one],
    }
