"""A panoptic truth and prediction by formula, and files of them for evaluators of others."""

import json

import numpy as np

from tasks.panoptic.maps import write_ids
from tasks.panoptic.metrics import Segment

CATEGORIES = [
    {"id": number, "name": name, "isthing": thing}
    for number, name, thing in ((1, "ball", 1), (3, "crate", 1), (92, "grass", 0), (200, "sky", 0))
]


def large(k):
    """Truth, its segments, prediction and its classes, in 96 rows of 128 columns."""
    rows, columns = np.mgrid[:96, :128]
    truth_cells = _cells(rows, columns)
    truth_kinds = (7 * truth_cells + k) % 5
    cells = _cells(np.minimum(rows + k, 95), np.minimum(columns + 1 + 2 * k, 127))
    kinds = (7 * cells + k) % 5
    kinds = np.where(cells % 9 == 8, kinds % 4 + 1, kinds)
    kinds = np.where(cells % 6 == 5, 0, kinds)
    truth, found = _ids(truth_cells, truth_kinds), _ids(cells, kinds)
    true = {
        number: Segment(
            int(truth_kinds[truth == number][0]) - 1,
            int((truth == number).sum()),
            number >= 10 and (number - 10) % 11 == 10,
        )
        for number in np.unique(truth[truth > 0]).tolist()
    }
    named = {
        number: int(kinds[found == number][0]) - 1
        for number in np.unique(found[found > 0]).tolist()
    }
    return truth, true, found, named


def _cells(rows, columns):
    return columns // 16 + 8 * (rows // 16)


def _ids(cells, kinds):
    return np.select([kinds == 0, kinds == 3, kinds == 4], [0, 1, 2], 10 + cells)


def write(folder, pictures):
    """Both JSON files with a folder of PNG beside each; their paths."""
    images = [
        {"id": number, "file_name": f"{number}.jpg", "height": one[0].shape[0],
         "width": one[0].shape[1]}
        for number, one in enumerate(pictures)
    ]  # fmt: skip
    files = []
    for name, place in (("truth", 0), ("found", 2)):
        (folder / name).mkdir()
        annotations = []
        for number, one in enumerate(pictures):
            write_ids(folder / name / f"{number}.png", one[place])
            segments = [_entry(key, value, one[place]) for key, value in one[place + 1].items()]
            annotations.append(
                {"image_id": number, "file_name": f"{number}.png", "segments_info": segments}
            )
        content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
        files.append(folder / f"{name}.json")
        files[-1].write_text(json.dumps(content))
    return files


def _entry(number, segment, ids):
    label = segment if isinstance(segment, int) else segment.label
    crowd = 0 if isinstance(segment, int) else int(segment.crowd)
    category = CATEGORIES[label]["id"]
    rows, columns = np.nonzero(ids == number)
    left, top = int(columns.min()), int(rows.min())
    box = [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]
    area = len(rows) if isinstance(segment, int) else segment.area
    return {"id": number, "category_id": category, "iscrowd": crowd, "area": area, "bbox": box}
