"""Loading: every published layout, and every wrong file, with nothing loaded by halves."""

import argparse
import pickle
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from backbone import MODELS, WEIGHTS, WeightsError, load, res2net
from backbone.files import read, sha256
from backbone.published import recognised
from backbone.variants import first_block_of


def small(**options):
    return MODELS["res2net26_14w_4s"](width=16, **options)


@pytest.fixture
def trunk():
    torch.manual_seed(0)
    return small()


@pytest.fixture
def published():
    """A state dict as the published files hold it: other values, and a classifier."""
    torch.manual_seed(1)
    state = small().state_dict()
    state = {
        k: v + torch.rand(v.shape) if v.is_floating_point() else v + 7 for k, v in state.items()
    }
    return {**state, "fc.weight": torch.rand(1000, 512), "fc.bias": torch.rand(1000)}


def assert_loaded(trunk, state):
    for key, value in trunk.state_dict().items():
        assert torch.equal(value, state[key]), key


@pytest.fixture
def refused(trunk):
    """Expect one line of error that names the source, and a trunk in which nothing moved."""

    def attempt(source, *words):
        before = {key: value.clone() for key, value in trunk.state_dict().items()}
        with pytest.raises(WeightsError) as caught:
            load(trunk, source)
        message = str(caught.value)
        assert "\n" not in message
        assert Path(str(source)).name in message
        for word in words:
            assert word in message, message
        assert_loaded(trunk, before)
        return message

    return attempt


@pytest.mark.parametrize("layout", ["bare", "old format", "training", "safetensors", "half"])
def test_every_published_layout_loads(trunk, published, tmp_path, layout):
    file = tmp_path / ("x.safetensors" if layout == "safetensors" else "x.pth")
    if layout == "safetensors":
        save_file(published, file)
    elif layout == "training":
        prefixed = {f"module.{key}": value for key, value in published.items()}
        best = torch.tensor(77.9)
        content = {"epoch": 3, "arch": "res2net50", "state_dict": prefixed, "best_prec1": best}
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=0.1, momentum=0.9)
        torch.save({**content, "optimizer": optimizer.state_dict()}, file)
    elif layout == "half":
        published = {k: v.half() if v.is_floating_point() else v for k, v in published.items()}
        torch.save(published, file)
    else:
        torch.save(published, file, _use_new_zipfile_serialization=layout == "bare")
    loaded = load(trunk, file)
    assert_loaded(trunk, published)
    assert set(loaded.dropped) == {"fc.weight", "fc.bias"}
    assert loaded.architecture == "res2net26_14w_4s of width 16"
    assert str(loaded) == f"{file} (res2net26_14w_4s of width 16, sha256 {loaded.sha256[:8]})"


def test_files_from_before_batch_counting_load(trunk, published, tmp_path):
    old = {k: v for k, v in published.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    load(trunk, tmp_path / "old.pth")
    assert torch.equal(trunk.layer1[0].bns[0].running_var, old["layer1.0.bns.0.running_var"])
    assert trunk.bn1.num_batches_tracked == 0


def test_unused_projections_of_published_dla_files_are_dropped(tmp_path):
    trunk = MODELS["dla60_res2next"]()
    state = {key: torch.rand_like(value) for key, value in trunk.state_dict().items() if value.ndim}
    extra = {
        f"{level}.project.{part}": torch.rand(shape)
        for level, shapes in {
            "level3": (128, 256), "level4": (256, 512), "level4.tree1": (256, 512),
        }.items()
        for part, shape in {
            "0.weight": (shapes[1], shapes[0], 1, 1), "1.weight": shapes[1:],
            "1.bias": shapes[1:], "1.running_mean": shapes[1:], "1.running_var": shapes[1:],
        }.items()
    }  # fmt: skip
    fc = {"fc.weight": torch.rand(1000, 1024, 1, 1), "fc.bias": torch.rand(1000)}
    torch.save({**state, **extra, **fc}, tmp_path / "dla.pth")
    loaded = load(trunk, tmp_path / "dla.pth")
    assert set(loaded.dropped) == {*extra, *fc}
    assert torch.equal(trunk.level5.project[0].weight, state["level5.project.0.weight"])


@pytest.mark.parametrize("with_average", [True, False])
def test_the_run_of_any_task_is_a_source(trunk, published, tmp_path, with_average):
    head = {"head.deconv_layers.0.weight": torch.rand(3, 3)}
    model = {f"backbone.{k}": v for k, v in published.items() if not k.startswith("fc.")} | head
    raw = {key: torch.zeros_like(value) for key, value in model.items()}
    content = {"format": 1, "progress": {"epoch": 1}, "config": "a: 1"}
    last = {"model": raw, "ema": model} if with_average else {"model": model, "ema": None}
    torch.save({**content, **last, "optimizer": {}}, tmp_path / "last.pt")
    load(trunk, tmp_path)
    assert_loaded(trunk, published)

    best = {key: value + 1 for key, value in model.items()}
    torch.save({**content, "model": best, "ema": None}, tmp_path / "best.pt")
    assert load(trunk, tmp_path).file.name == "best.pt"
    assert_loaded(trunk, {key: value + 1 for key, value in published.items()})
    load(trunk, tmp_path / "last.pt")
    assert_loaded(trunk, published)


def test_weights_of_another_scale_are_refused(refused, tmp_path):
    other = res2net((2, 2, 2, 2), base_width=16, scale=8, width=16)
    torch.save(other.state_dict(), tmp_path / "other.pth")
    refused(
        tmp_path / "other.pth",
        "made for res2net26_16w_8s of width 16, does not fit res2net26_14w_4s of width 16",
        "unexpected: layer1.0.convs.3.weight",
        "of another shape: layer1.0.bn1.bias (32,) instead of (12,)",
    )


def test_weights_of_a_resnet_are_refused(refused, tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    message = refused(tmp_path / "resnet18.pth", "made for resnet18", "unexpected", "missing")
    missing = message.partition("missing: ")[2].partition("; ")[0]
    assert missing.endswith(", ...")
    assert len(missing.split(", ")) == 11


def test_one_wrong_key_is_enough(refused, published, tmp_path):
    del published["layer4.1.bn3.running_var"]
    torch.save(published, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "1 missing: layer4.1.bn3.running_var")
    published["layer4.1.bn3.running_var"] = torch.rand(3)
    torch.save(published, tmp_path / "b.pth")
    refused(tmp_path / "b.pth", "layer4.1.bn3.running_var (3,) instead of (512,)")
    published["layer4.1.bn3.running_var"] = torch.rand(512)
    published["head.weight"] = torch.rand(3)
    torch.save(published, tmp_path / "c.pth")
    refused(tmp_path / "c.pth", "1 unexpected: head.weight")


def test_colour_weights_do_not_fit_a_trunk_for_sound(published, tmp_path):
    torch.save(published, tmp_path / "colour.pth")
    with pytest.raises(WeightsError, match=r"for input of 1 channel;.* conv1\.weight"):
        load(small(in_channels=1), tmp_path / "colour.pth")


@pytest.mark.parametrize("name", ["res2net26_14w_4s", "res2net50_v1b", "dla60_res2next"])
def test_colours_are_summed_for_sound_where_that_is_asked_for(tmp_path, name):
    torch.manual_seed(2)
    options = {} if name.startswith("dla") else {"width": 16}
    colour = MODELS[name](**options).eval()
    torch.save(colour.state_dict(), tmp_path / "colour.pth")
    sound = MODELS[name](in_channels=1, **options).eval()
    load(sound, tmp_path / "colour.pth", fit_stem=True)
    grey = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        pairs = zip(sound(grey), colour(grey.expand(1, 3, 32, 32)), strict=True)
        assert all(torch.allclose(*pair, rtol=1e-3, atol=1e-4) for pair in pairs)
    torch.save(sound.state_dict(), tmp_path / "sound.pth")
    load(sound, tmp_path / "sound.pth", fit_stem=True)
    with pytest.raises(WeightsError, match="for input of 1 channel, does not fit"):
        load(colour, tmp_path / "sound.pth", fit_stem=True)


def test_further_inputs_keep_what_they_were_drawn_as(tmp_path):
    colour = MODELS["resnet26_half"](width=16).eval()
    torch.save(colour.state_dict(), tmp_path / "colour.pth")
    more = MODELS["resnet26_half"](width=16, in_channels=5).eval()
    drawn = more.conv1.weight[:, 3:].clone()
    load(more, tmp_path / "colour.pth", fit_stem=True)
    assert torch.equal(more.conv1.weight[:, 3:], drawn)
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        pairs = zip(more(torch.cat([x, 0 * x[:, :2]], dim=1)), colour(x), strict=True)
        assert all(torch.allclose(*pair, rtol=1e-3, atol=1e-4) for pair in pairs)


@pytest.mark.parametrize("channels", [2, 5])
def test_colours_are_spread_over_any_number_of_channels(tmp_path, published, channels):
    """Equal slices get the answer to a grey picture."""
    torch.save(published, tmp_path / "colour.pth")
    colour, slices = small().eval(), small(in_channels=channels).eval()
    load(colour, tmp_path / "colour.pth", fit_stem=True, spread=True)
    load(slices, tmp_path / "colour.pth", fit_stem=True, spread=True)
    grey = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        found = slices(grey.repeat(1, channels, 1, 1)).c1
        wanted = colour(grey.repeat(1, 3, 1, 1)).c1
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_a_file_cut_short_is_refused(refused, published, tmp_path):
    files = [tmp_path / "new.pth", tmp_path / "old.pth", tmp_path / "x.safetensors"]
    torch.save(published, files[0])
    torch.save(published, files[1], _use_new_zipfile_serialization=False)
    save_file(published, files[2])
    for file in files:
        content = file.read_bytes()
        for part in (0.0001, 0.01, 0.3, 0.5, 0.9, 0.9999):
            cut = file.with_name(f"cut{file.suffix}")
            cut.write_bytes(content[: int(part * len(content))])
            refused(cut, "cut short")


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"<!DOCTYPE html>", b"PK\x05\x06", b"cos\nsystem\n.", bytes(1000)]
)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused(refused, tmp_path, content, suffix):
    file = tmp_path / f"x.{suffix}"
    file.write_bytes(content)
    refused(file, "not a")


@pytest.mark.parametrize(
    "content",
    [
        [1, 2], torch.zeros(3), {}, {"state_dict": {}}, {"epoch": 3}, {"state_dict": None},
        {"a": "x"}, {1: torch.zeros(1)},
    ],
)  # fmt: skip
def test_a_checkpoint_without_weights_is_refused(refused, tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    refused(tmp_path / "x.pth", "holds no state dict")


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return exec, (f"open({str(self.marker)!r}, 'w').close()",)


@pytest.mark.parametrize("form", ["zip", "old format", "plain pickle", "beside weights"])
def test_a_pickle_that_would_run_code_is_refused(refused, published, tmp_path, form):
    marker, file = tmp_path / "code-has-run", tmp_path / "x.pth"
    content = Malicious(marker)
    if form == "plain pickle":
        file.write_bytes(pickle.dumps(content, protocol=2))
    else:
        inner = {**published, "x": content} if form == "beside weights" else content
        torch.save(inner, file, _use_new_zipfile_serialization=form != "old format")
    refused(file, "refused", "run code", "exec")
    assert not marker.exists()
    torch.load(file, weights_only=False) if form == "zip" else None
    assert marker.exists() == (form == "zip"), (
        "the file must be able to do harm, or this proves nothing"
    )


def test_a_whole_pickled_module_is_refused(refused, trunk, tmp_path):
    torch.save(trunk, tmp_path / "module.pth")
    refused(tmp_path / "module.pth", "run code", "state_dict")


def test_a_safetensors_header_of_absurd_length_is_refused(refused, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    refused(tmp_path / "x.safetensors", "not a safetensors file")


def test_a_flipped_bit_is_found(refused, trunk, tmp_path):
    """The archive has checksums, which torch.load does not compare."""
    file = tmp_path / "best.pt"
    torch.save({"model": trunk.state_dict()}, file)
    data = bytearray(file.read_bytes())
    place = bytes(data).find(trunk.state_dict()["layer2.0.conv1.weight"].numpy().tobytes()[:64])
    data[place + 3] ^= 0x40
    file.write_bytes(data)
    assert "damaged" in refused(file)


def test_a_tensor_that_is_marked_as_a_folder_is_found(refused, trunk, tmp_path):
    """torch.load would hand out memory that nothing was read into."""
    file = tmp_path / "best.pt"
    torch.save({"model": trunk.state_dict()}, file)
    data = bytearray(file.read_bytes())
    entry = data.rindex(b"/data/0") - len("best") - 46
    assert data[entry : entry + 4] == b"PK\x01\x02"
    data[entry + 38] |= 0x10  # of the external attributes
    file.write_bytes(data)
    assert "damaged" in refused(file)


def test_whole_numbers_for_weights_are_refused(refused, trunk, tmp_path):
    state = {key: value.to(torch.int8) for key, value in trunk.state_dict().items()}
    torch.save(state, tmp_path / "int8.pth")
    assert "of another type: bn1.bias of torch.int8" in refused(tmp_path / "int8.pth")


def test_flags_beside_the_weights_are_read(trunk, tmp_path):
    content = {"state_dict": trunk.state_dict(), "args": argparse.Namespace(lr=0.1)}
    torch.save(content, tmp_path / "timm.pth.tar")
    load(trunk, tmp_path / "timm.pth.tar")


def test_a_wrong_name_is_refused_with_the_nearest_ones(refused):
    refused("res2net50_26w_4s.imagenet", "res2net50_26w_4s.imagenet1k_official")
    refused("res2net50_26w_4s", "neither a file, nor a run directory")


def test_a_folder_without_checkpoint_is_refused(refused, tmp_path):
    refused(tmp_path, "no best.pt and no last.pt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        read(tmp_path / "x.pth")


def test_the_published_weights_are_listed_consistently():
    assert len(WEIGHTS) == 25
    for name, row in WEIGHTS.items():
        assert name == row.name
        assert name.startswith(f"{row.architecture}.imagenet1k_")
        assert row.architecture in MODELS
        if row.sha256 is None:
            assert row.file.endswith("_pretrained.pdparams")
        else:
            assert row.file.endswith(f"-{row.sha256}.pth")
            assert len(row.sha256) == 8
            assert recognised(row.sha256 + 56 * "0") is row
        assert row.urls
        assert all(url.startswith("https://") and url.endswith(f"/{row.file}") for url in row.urls)
        assert row.licence
        if row.reevaluated:
            assert row.error == pytest.approx(row.reevaluated, abs=0.3)
        # Where the function is another than the official one, the row says so.
        assert (row.differs is None) is (first_block_of(row.architecture) == "pooled")
    assert recognised(64 * "0") is None
    assert WEIGHTS["res2net50_26w_4s.imagenet1k_official"].error == (22.01, 6.15)
    enum = torchvision.models.ResNet50_Weights.IMAGENET1K_V1
    assert WEIGHTS["resnet50.imagenet1k_torchvision"].urls == (enum.url,)
    metrics = enum.meta["_metrics"]["ImageNet-1K"]
    assert WEIGHTS["resnet50.imagenet1k_torchvision"].error == pytest.approx(
        (100 - metrics["acc@1"], 100 - metrics["acc@5"])
    )


@pytest.mark.parametrize("official", ["res2net50_14w_8s", "res2net50_26w_8s", "res2net101_26w_4s"])
def test_renamed_weights_score_as_the_official_ones(official):
    ours, theirs = (WEIGHTS[f"{official}.imagenet1k_{one}"] for one in ("mmpretrain", "official"))
    assert ours.error == pytest.approx(theirs.error, abs=0.011)


def test_a_published_file_is_known_by_its_hash(published, tmp_path, monkeypatch):
    """Its row says the rule, which the file cannot."""
    torch.save(published, tmp_path / "renamed.pth")
    own = {one: small(first_block=one) for one in ("pooled", "strided")}
    assert load(own["strided"], tmp_path / "renamed.pth").first_block is None
    name = "res2net101_v1b.imagenet1k_mmdetection"
    row = replace(WEIGHTS[name], sha256=sha256(tmp_path / "renamed.pth")[:8])
    monkeypatch.setitem(WEIGHTS, name, row)
    loaded = load(own["strided"], tmp_path / "renamed.pth")
    assert (loaded.first_block, loaded.card) == ("pooled", row)
    assert load(own["pooled"], tmp_path / "renamed.pth").first_block is None


def test_a_published_file_without_a_hash_is_not_fetched_by_name(refused):
    message = refused("res2net200_v1b_summed.imagenet1k_paddle_ssld", "states no hash", "yourself")
    assert "/dygraph/Res2Net200_vd_26w_4s_ssld_pretrained.pdparams" in message
