"""``python -m benchmarks.pose [COCO_ROOT]``: the speed of the pose task's own parts.

The loader on one core, on the sample set or on a set of one's own; then decoding and suppression
of 5,000 persons beside plain loops.
"""

import sys
from pathlib import Path

from benchmarks import pose_decoding, pose_loader


def main() -> None:
    pose_loader.loader(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    print()
    pose_decoding.main()


if __name__ == "__main__":
    main()
