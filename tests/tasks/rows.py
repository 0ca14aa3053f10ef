"""One row for each task: what the tests of all commands have to know of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasks.classification import sample as classification
from tasks.depth import sample as depth
from tasks.depth.metrics import NAMES
from tasks.detection import sample as detection
from tasks.interactive import sample as interactive
from tasks.interactive.metrics import NAMES as CLICKS
from tasks.panoptic import sample as panoptic
from tasks.pose import sample as pose
from tasks.salient import sample as salient
from tasks.salient.metrics import MAIN
from tasks.segmentation import sample as segmentation
from tasks.volumes import sample as volumes
from tests.tasks.reid import small as reid
from tests.tasks.speaker import small as speaker


@dataclass(frozen=True, kw_only=True)
class Falls:
    """How far the loss falls: sums over a few steps at the end and at the beginning."""

    flags: tuple[str, ...]
    """Of a run of its own; none: the shared run of two epochs is looked at."""
    steps: int
    factor: float
    names: tuple[str, ...] = ("loss",)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A task, its smallest training, and what that must leave."""

    name: str
    data: Callable[[Path], None]
    """Writes a data set of a few steps an epoch."""
    flags: tuple[str, ...]
    """The smallest training that the task allows."""
    trained: tuple[str, ...] = ()
    """Further flags of the shared run of two epochs."""
    files: tuple[str, ...]
    """What a run directory has besides what all have."""
    metrics: tuple[str, ...]
    """The metrics of the result card."""
    more_metrics: bool = False
    """Others may follow, such as those of single classes."""
    watched: tuple[str, ...]
    """The metrics that the log has after each epoch."""
    says: tuple[tuple[str, str, object], ...] = ()
    """Section, key and value of the result card."""
    terms: tuple[str, ...] = ()
    """Parts of the loss, which the log has for each step."""
    golden: tuple[tuple[float, float], ...]
    """The first losses, each with its relative tolerance."""
    falls: Falls | None
    changed: tuple[str, str]
    """A flag that a resumed run must not change."""
    head: tuple[str, ...]
    """Weights that --weights leaves as they are drawn and --finetune takes."""
    own: tuple[str, ...] = ()
    """Weights that --finetune too leaves as they are drawn."""
    mistakes: tuple[tuple[tuple[str, ...], str], ...]
    """Wrong flags, and what the message has to say."""
    config: tuple[str, ...]
    """Flags that a saved config has to bring back."""
    sample: tuple[str, ...]
    """Flags of the smallest generated set."""
    sample_says: str
    sample_files: tuple[str, int]
    """A pattern, and how many files of it that set has."""


SMALL = (
    "--engine.device", "cpu", "--loader.workers", "0", "--engine.log_every", "1",
    "--engine.evaluate_every", "1",
)  # fmt: skip
"""What all trainings of the tests have."""

STILL = (
    "--engine.epochs", "1", "--optimizer.learning_rate", "1e-30", "--optimizer.name", "sgd",
    "--optimizer.weight_decay", "0",
)  # fmt: skip
"""An epoch at a learning rate too small to move anything."""

CENTERS = ("--loss.center_weight", "0.0005")
"""The third loss of re-identification."""

POSE = Row(
    name="pose",
    data=lambda folder: pose.write(folder, seed=3, train=14, val=3),
    flags=(
        "--data.input_size", "[64, 64]", "--model.head_channels", "[16, 16, 16]",
        "--engine.batch_size", "4",
    ),
    files=(),
    metrics=("AP", "AP50", "AP75", "APM", "APL", "AR"),
    watched=("AP", "AP50", "AP75", "APM", "APL", "AR"),
    says=(("protocol", "boxes", "ground truth"),),
    golden=((0.008794, 0.02), (0.008750, 0.02), (0.007366, 0.02)),
    falls=Falls(
        flags=("--engine.epochs", "7", "--engine.evaluate_every", "7"), steps=5, factor=0.8
    ),
    changed=("--optimizer.learning_rate", "0.5"),
    head=("head.deconv_layers.0.weight", "head.final_layer.weight"),
    mistakes=(
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--data.input_size", "[100, 75]"), "--data.input_size"),
    ),
    config=("--data.boxes", "boxes.json", "--model.head_channels", "[64,64,64]"),
    sample=("--train", "2", "--val", "1"),
    sample_says="2 training and 1 held-out pictures in COCO's layout",
    sample_files=("images/*/*.jpg", 3),
)  # fmt: skip

SALIENT = Row(
    name="salient",
    data=lambda folder: salient.write(folder, seed=3, train=14, test=3, edge=5),
    flags=(
        "--data.input_size", "[48, 48]", "--model.head_width", "0.04", "--engine.batch_size", "4",
        "--optimizer.learning_rate", "0.003",
    ),
    files=(),
    metrics=MAIN,
    more_metrics=True,
    watched=MAIN,
    says=(("data", "split", "DUTS-TE"),),
    terms=("saliency", "iou"),
    golden=((1.5282, 0.005), (1.5589, 0.005), (1.5482, 0.005)),
    falls=Falls(
        flags=(
            "--engine.epochs", "5", "--engine.evaluate_every", "5", "--optimizer.learning_rate",
            "0.01", "--model.head_width", "0.125",
        ),
        steps=4, factor=0.95,
    ),
    changed=("--loss.iou", "0.5"),
    head=("head.score.weight",),
    mistakes=(
        (("--data.train_set", "MSRA-B"), "--data.train_set MSRA-B: no folder"),
        (("--model.edge", "true", "--data.edge_set", "BSDS"), "--data.edge_set BSDS: no folder"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--data.fit", "native"), "--engine.accumulate 4"),
    ),
    config=("--data.test_sets", "[A, B]", "--data.input_size", "[64, 96]"),
    sample=("--train", "2", "--test", "1", "--edge", "1"),
    sample_says="2 training, 1 held-out and 1 edge pictures in DUTS's layout",
    sample_files=("DUTS-TR/DUTS-TR-Image/*.jpg", 2),
)  # fmt: skip

SEGMENTATION = Row(
    name="segmentation",
    data=lambda folder: segmentation.write(folder, seed=3, train=14, val=3),
    flags=(
        "--data.crop_size", "[64, 64]", "--data.short_side", "64", "--test.short_side", "64",
        "--model.channels", "32", "--engine.batch_size", "4",
    ),
    files=("classes.json", "pictures/predictions.jpg", "pictures/confusion_matrix.png"),
    metrics=("mIoU", "pixel_accuracy", "mean_accuracy"),
    more_metrics=True,
    watched=("mIoU", "pixel_accuracy", "mean_accuracy"),
    terms=("cross_entropy", "dice", "auxiliary"),
    golden=((3.752, 0.02), (3.634, 0.02), (3.344, 0.02)),
    falls=Falls(
        flags=("--engine.epochs", "7", "--engine.evaluate_every", "7"), steps=5, factor=0.6
    ),
    changed=("--optimizer.learning_rate", "0.5"),
    head=("head.0.weight",),
    mistakes=(
        (("--data.train_split", "trainaug"), "--data.sbd"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--engine.sync_batchnorm",), "--engine.sync_batchnorm"),
        (("--data.crop", "3"), "data.crop"),
        (("--data.classes", "[background, ball]"), "2 classes"),
    ),
    config=("--data.classes", "[road, car]", "--data.palette", "[[128, 64, 128], [0, 0, 142]]"),
    sample=("--train", "2", "--val", "1"),
    sample_says="2 training and 1 held-out pictures in VOC's layout",
    sample_files=("JPEGImages/*", 3),
)  # fmt: skip

DETECTION = Row(
    name="detection",
    data=lambda folder: detection.write(folder, seed=3, train=10, val=2),
    flags=(
        "--data.short_sides", "[64]", "--data.test_short_side", "64", "--model.channels", "32",
        "--model.box_channels", "16", "--model.proposals", "[60, 30]", "--model.samples", "16",
        "--engine.batch_size", "2", "--test.score_threshold", "0.3",
    ),
    files=("classes.json", "detections.json", "pictures/detections.jpg"),
    metrics=(
        *(f"box_{name}" for name in ("AP", "AP50", "AP75", "APs", "APm", "APl")),
        *(f"box_{name}" for name in ("AR1", "AR10", "AR", "ARs", "ARm", "ARl")),
        *(f"mask_{name}" for name in ("AP", "AP50", "AP75", "APs", "APm", "APl")),
        *(f"mask_{name}" for name in ("AR1", "AR10", "AR", "ARs", "ARm", "ARl")),
    ),
    watched=("box_AP", "box_AP50", "box_AP75", "mask_AP", "mask_AP50", "mask_AP75"),
    terms=("objectness", "rpn_box_reg", "classifier", "box_reg", "mask"),
    golden=((5.119, 0.02), (4.359, 0.02), (4.316, 0.02)),
    falls=Falls(flags=(), steps=3, factor=0.95),
    changed=("--optimizer.learning_rate", "0.5"),
    head=("detector.roi_heads.box_predictor.cls_score.weight",),
    mistakes=(
        (("--data.classes", "[ball, dog]"), "no class 'dog'"),
        (("--data.masks", "false"), "--model.detector mask_rcnn"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--model.frozen_stages", "2"), "--weights is missing"),
        (("--model.frozen_stages", "7"), "--model.frozen_stages is 7"),
        (("--model.detector", "fcos"), "must be 64, 96"),
        (("--model.detector", "yolo"), "yolo"),
        (("--test.nms_threshold", "2"), "--test.nms_threshold is 2"),
    ),
    config=("--data.classes", "[ball, crate]", "--model.proposals", "[60, 30]"),
    sample=("--train", "2", "--val", "1"),
    sample_says="2 training and 1 held-out pictures in COCO's layout",
    sample_files=("*2017/*.jpg", 3),
)  # fmt: skip


def _market(folder: Path) -> None:
    """Ten persons to learn, of whom one has too few pictures for K."""
    extra = ["bounding_box_train/0010_c1s1_000000_00.jpg"]
    reid.write_market(folder, train=range(1, 10), extra=extra)


REID = Row(
    name="reid",
    data=_market,
    flags=(
        "--data.input_size", "[32, 16]", "--backbone", "resnet26_half",
        "--engine.batch_size", "16", "--optimizer.schedule", "constant",
        "--optimizer.warmup_epochs", "0", "--data.erase_probability", "0.5",
        "--data.padding", "4",
    ),
    # At a rate this low the rounding of one machine does not grow into another loss.
    trained=("--optimizer.learning_rate", "1e-5", *CENTERS),
    files=("pictures/cmc.png", "pictures/ranked.jpg"),
    metrics=("mAP", "rank1", "rank5", "rank10", "mINP", "mAP_trapezoid"),
    watched=("mAP", "rank1", "rank5", "rank10", "mINP", "mAP_trapezoid"),
    terms=("identity", "triplet", "center"),
    golden=((7.692, 0.02), (8.112, 0.02), (9.668, 0.02), (7.290, 0.02)),
    falls=Falls(
        flags=("--engine.epochs", "12", "--engine.evaluate_every", "12", *CENTERS),
        steps=3, factor=0.8, names=("loss", "center"),
    ),
    changed=("--loss.center_weight", "0"),
    head=("bottleneck.weight",),
    own=("classifier.weight", "centers"),  # of the persons that are trained on
    mistakes=(
        (("--data.train_sets", '["nowhere"]'), "--data.train_sets"),
        (
            ("--engine.batch_size", "64"),
            "P = 16 persons with K = 4 pictures each, the training set has 10",
        ),
        (("--engine.batch_size", "18"), "--data.pictures_per_person (4)"),
        (("--engine.accumulate", "3"), "--data.pictures_per_person (4)"),
    ),
    config=("--loss.center_weight", "0.0005", "--data.train_sets", '["market:a"]'),
    sample=("--train", "1", "--test", "1"),
    sample_says="1 persons to learn and 1 to find again",
    sample_files=("bounding_box_train/*.jpg", 8),
)  # fmt: skip

SPEAKER = Row(
    name="speaker",
    data=lambda folder: speaker.write_set(folder, train=4),
    flags=(
        "--data.seconds", "1.0", "--backbone", speaker.BACKBONE, "--model.bins", "24",
        "--model.width", "8", "--model.stem_stride", "2", "--model.strides", "[2,2,2,1]",
        "--model.embedding", "16", "--engine.batch_size", "4",
        "--optimizer.learning_rate", "0.003", "--test.seconds", "[0]",
    ),
    files=("decision.json", "backend.npz", "conditions.json", "pictures/det.png"),
    metrics=("EER", "minDCF01", "minDCF05"),
    more_metrics=True,
    watched=("EER", "minDCF01", "minDCF05"),
    says=(("protocol", "scoring", "cosine"),),
    golden=((3.033, 0.02), (3.900, 0.02), (2.019, 0.02)),
    # Over whole epochs: with a few recordings a step, one step may be worse than all others.
    falls=Falls(
        flags=(
            "--engine.epochs", "14", "--engine.evaluate_every", "14", "--loss.margin", "0",
            "--engine.batch_size", "16",
        ),
        steps=5, factor=0.8,
    ),
    changed=("--loss.margin", "0.5"),
    head=("embedding.weight", "classifier.weight"),
    mistakes=(
        (("--data.train", "nowhere"), "--data.train nowhere"),
        (("--data.trials", "[nowhere.txt]"), "nowhere.txt"),
        (("--data.noise", "nowhere"), "--data.noise nowhere"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--data.seconds", "0"), "--data.seconds"),
    ),
    config=("--data.rooms", "rirs", "--model.width", "16", "--finetune", "runs/a"),
    sample=("--train", "2", "--test", "2"),
    sample_says="2 training and 2 test speakers",
    sample_files=("dev/wav/*", 2),
)  # fmt: skip

CLASSIFICATION = Row(
    name="classification",
    data=lambda folder: classification.write(folder, seed=3, train=20, val=10),
    flags=(
        "--data.input_size", "32", "--test.input_size", "32", "--engine.batch_size", "4",
        "--optimizer.name", "adam", "--optimizer.learning_rate", "0.001",
        "--optimizer.warmup_epochs", "0",
    ),
    files=("classes.txt", "per_class.csv"),
    metrics=("top1", "top5"),
    watched=("top1", "top5"),
    # The steps are large: at the third, processors that round differently are 6 % apart.
    golden=((1.893, 0.02), (3.883, 0.02), (3.7, 0.04)),
    falls=None,  # its test_train has more: a small set is learnt by heart
    changed=("--optimizer.learning_rate", "0.5"),
    head=("fc.weight",),
    mistakes=(
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--data.input_size", "[32, 32]"), "--data.input_size"),
    ),
    config=("--weights", "runs/pose", "--data.root", "tree", "--data.ratio", "[0.5, 2.0]"),
    sample=("--train", "10", "--val", "10"),
    sample_says="10 training and 10 held-out pictures of 10 classes",
    sample_files=("*/*/*.jpg", 20),
)  # fmt: skip

DEPTH = Row(
    name="depth",
    data=lambda folder: depth.write(folder, seed=3, train=14, val=3),
    flags=(
        "--data.crop_size", "[64, 96]", "--model.channels", "8", "--engine.batch_size", "4",
        "--optimizer.warmup_epochs", "0",
    ),
    files=("pictures/depth.jpg",),
    metrics=NAMES,
    watched=NAMES,
    says=(("protocol", "alignment", "none"), ("data", "without_depth", 0)),
    terms=("silog",),
    golden=((10.699, 0.02), (10.926, 0.02), (9.855, 0.02)),
    falls=Falls(
        flags=("--engine.epochs", "6", "--engine.evaluate_every", "6"), steps=4, factor=0.8
    ),
    changed=("--loss.balance", "0.5"),
    head=("decoder.last.weight",),
    mistakes=(
        (("--data.train_split", "nowhere"), "no list nowhere.txt"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--model.decoder", "bts"), "--model.channels is 8; bts takes multiples of 32 from 128"),
        (("--loss.name", "ssi"), "--test.align least_squares"),
        (("--data.depth_scale", "1"), "beyond --data.max_depth 10"),
        (("--data.min_depth", "20"), "--data.min_depth 20"),
        (("--test.crop", "eigen_nyu"), "eigen_nyu is defined for 640x480 pixels, found 128x96"),
        (("--data.kb_crop", "true"), "128x96 pixels, and --data.kb_crop takes 1216x352"),
    ),
    config=("--data.border", "[45, 43, 8, 32]", "--test.crop", "garg", "--data.focal", "518.9"),
    sample=("--train", "2", "--val", "1"),
    sample_says="2 training and 1 held-out pictures in the layout of BTS's lists",
    sample_files=("*/rgb_*.jpg", 4),
)  # fmt: skip

INTERACTIVE = Row(
    name="interactive",
    data=lambda folder: interactive.write(folder, seed=3, train=8, val=2),
    flags=(
        "--data.crop_size", "[48, 48]", "--data.short_side", "0", "--model.channels", "8",
        "--engine.batch_size", "4", "--optimizer.warmup_epochs", "0", "--test.clicks", "2",
    ),
    files=("pictures/masks.jpg", "pictures/clicks.png", "seconds.json"),
    metrics=CLICKS,
    watched=CLICKS,
    says=(("protocol", "structural", False), ("data", "skipped", 0)),
    terms=("focal",),
    golden=((0.3915, 0.02), (0.3563, 0.02), (0.3580, 0.02)),
    falls=Falls(flags=(), steps=3, factor=0.97),
    changed=("--simulation.decay", "0.5"),
    head=("head.last.0.weight", "neck.smooth.0.weight"),
    mistakes=(
        (("--data.train_split", "nowhere"), "nowhere.txt: no such split"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--model.channels", "12"), "--model.channels is 12"),
        (("--loss.name", "clicks"), "--loss.name clicks: needs the first click's branch"),
        (("--data.least_area", "100000"), "--data.least_area 100000: no object"),
        (("--data.format", "grabcut"), "--data.format grabcut"),
        (("--data.train_split", "trainaug", "--data.val_format", "sbd"), "holds SBD's val"),
    ),
    config=("--data.val_format", "davis", "--simulation.decay", "0.9", "--test.structural", "true"),
    sample=("--train", "2", "--val", "1"),
    sample_says="2 training and 1 held-out pictures in VOC's layout",
    sample_files=("JPEGImages/*.jpg", 3),
)  # fmt: skip

PANOPTIC = Row(
    name="panoptic",
    data=lambda folder: panoptic.write(folder, seed=3, train=10, val=2),
    flags=(
        "--data.short_sides", "[64]", "--data.test_short_side", "64", "--model.channels", "32",
        "--model.box_channels", "16", "--model.proposals", "[60, 30]", "--model.samples", "16",
        "--model.semantic_channels", "32", "--engine.batch_size", "2",
    ),
    files=("classes.json", "panoptic.json", "pictures/panoptic.jpg"),
    metrics=("PQ", "SQ", "RQ", "PQ_things", "PQ_stuff"),
    more_metrics=True,
    watched=("PQ", "SQ", "RQ", "PQ_things", "PQ_stuff", "box_AP", "mask_AP", "mIoU"),
    says=(("protocol", "stuff_area", 256), ("data", "skipped", 0)),
    terms=("objectness", "rpn_box_reg", "classifier", "box_reg", "mask", "semantic"),
    golden=((6.3153, 0.02), (6.7018, 0.02), (6.7167, 0.03)),
    falls=Falls(flags=(), steps=3, factor=0.95),
    changed=("--loss.semantic", "0.7"),
    head=("detector.roi_heads.box_predictor.cls_score.weight", "semantic.predictor.weight"),
    mistakes=(
        (("--data.things", "[ball, dog]", "--data.stuff", "[sky]"), "no 'dog' among its things"),
        (("--data.things", "[ball]"), "--data.stuff is missing"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--model.frozen_stages", "2"), "--weights is missing"),
        (("--model.detector", "faster_rcnn"), "--model.detector faster_rcnn: things need masks"),
        (("--model.semantic_channels", "48"), "--model.semantic_channels is 48"),
        (("--test.stuff_area", "-1"), "--test.stuff_area is -1"),
        (("--test.thing_score", "2"), "--test.thing_score is 2"),
        (("--loss.semantic", "-1"), "--loss.semantic is -1"),
    ),
    config=("--data.things", "[ball, crate]", "--data.stuff", "[sky]", "--test.overlap", "0.4"),
    sample=("--train", "2", "--val", "1"),
    sample_says="2 training and 1 held-out pictures in COCO's panoptic layout",
    sample_files=("*2017/*.jpg", 3),
)  # fmt: skip

VOLUMES_METRICS = (
    "Dice", "Dice_liver", "Dice_kidney", "Dice_lesion", "HD95", "NSD", "ASD", "volume_error",
    "Dice_pooled", "hit_rate", "false_positives",
)  # fmt: skip

VOLUMES = Row(
    name="volumes",
    data=lambda folder: volumes.write(folder, seed=3, cases=4, size=40, slices=6),
    flags=(
        "--data.folds", "2", "--data.crop_size", "[32, 32]", "--data.crops_per_case", "6",
        "--model.channels", "32", "--engine.batch_size", "4", "--optimizer.warmup_epochs", "0",
    ),
    files=("cases.csv", "pictures/volumes.jpg"),
    metrics=VOLUMES_METRICS,
    watched=VOLUMES_METRICS,
    says=(("protocol", "use", "Research only, no diagnosis"), ("protocol", "fold", 0)),
    terms=("cross_entropy", "dice"),
    golden=((2.118, 0.02), (2.061, 0.02), (2.017, 0.02)),
    falls=Falls(
        flags=("--engine.epochs", "6", "--engine.evaluate_every", "6"), steps=3, factor=0.9
    ),
    changed=("--loss.dice", "0.5"),
    head=("head.0.weight",),
    mistakes=(
        (("--fold", "7"), "--fold 7: there are 2"),
        (("--data.folds", "9"), "--data.folds 9: there are 4 cases"),
        (("--engine.batch_size", "500"), "--engine.batch_size"),
        (("--data.windows", "[[200, -100]]"), "--data.windows"),
        (("--data.slices", "2"), "--data.slices is 2"),
        (("--data.format", "lits"), "no case in the layout lits"),
        (("--data.channel", "1"), "--data.channel 1: phantom_000"),
        (("--data.classes", "[background, organ]"), "holds the label"),
        (("--test.largest_component", "[spleen]"), "no class 'spleen'"),
        (("--model.output_stride", "8", "--model.decoder", "fpn"), "--model.output_stride 8"),
    ),
    config=("--fold", "3", "--data.windows", "[[-160, 240], [-100, 300]]", "--test.window",
            "[320, 320]", "--test.regions", "{liver: [1, 2], tumour: [2]}"),
    sample=("--cases", "1"),
    sample_says="1 generated cases in the layout of the Decathlon",
    sample_files=("*Tr/*.nii.gz", 2),
)  # fmt: skip

ROWS = {
    row.name: row
    for row in (
        *(POSE, SALIENT, SEGMENTATION, DETECTION, REID, SPEAKER, CLASSIFICATION, DEPTH),
        *(INTERACTIVE, PANOPTIC, VOLUMES),
    )
}
