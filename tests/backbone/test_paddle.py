"""PaddlePaddle's files: names by the rules of its code, arrays bit for bit, and no code run."""

import builtins
import codecs
import collections
import functools
import os
import pickle
import struct

import numpy as np
import pytest
import torch
from torch import nn

from backbone import MODELS, WeightsError, arrays, files, load, res2net
from backbone.convert import convert
from backbone.files import read_card
from backbone.paddle import official_name

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 200: (3, 12, 48, 3)}
NORM = {"weight": "weight", "bias": "bias", "running_mean": "_mean", "running_var": "_variance"}


def layers(depths, scale, deep, lettered):
    """Our convolution, our norm and the layer of PaddlePaddle that is both."""
    stem = [("conv1", "bn1", "conv1")]
    if deep:
        stem = [("conv1.0", "conv1.1", "conv1_1"), ("conv1.3", "conv1.4", "conv1_2")]
        stem += [("conv1.6", "bn1", "conv1_3")]
    yield from stem
    for stage, depth in enumerate(depths):
        for block in range(depth):
            ours, theirs = f"layer{stage + 1}.{block}", f"bb_{stage}_{block}"
            yield f"{ours}.conv1", f"{ours}.bn1", f"{theirs}.conv0"
            letter = chr(97 + block)
            if stage == 2 and not lettered:
                letter = f"b{block}" if block else "a"
            for index in range(scale - 1):
                name = f"res{stage + 2}{letter}_branch2b_{index + 1}"
                yield f"{ours}.convs.{index}", f"{ours}.bns.{index}", f"{theirs}.{name}"
            yield f"{ours}.conv3", f"{ours}.bn3", f"{theirs}.conv2"
            if not block:
                pair = (1, 2) if deep else (0, 1)
                yield *(f"{ours}.downsample.{part}" for part in pair), f"{theirs}.short"


def names(depths, scale, deep, lettered):
    """PaddlePaddle's name of each of our weights, without the classifier."""
    found = {}
    for convolution, norm, theirs in layers(depths, scale, deep, lettered):
        found[f"{convolution}.weight"] = f"{theirs}._conv.weight"
        found |= {f"{norm}.{a}": f"{theirs}._batch_norm.{b}" for a, b in NORM.items()}
    return found


def weights_of(trunk):
    return {k: v for k, v in trunk.state_dict().items() if not k.endswith("num_batches_tracked")}


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("number", DEPTHS)
@pytest.mark.parametrize(("width", "scale"), [(26, 4), (14, 8)])
def test_every_weight_has_one_name(deep, number, width, scale):
    stem = {"stem": "deep", "average_shortcut": True} if deep else {}
    with torch.device("meta"):
        ours = weights_of(res2net(DEPTHS[number], base_width=width, scale=scale, **stem))
    theirs = names(DEPTHS[number], scale, deep, number == 50 or (number == 200 and not deep))
    assert theirs.keys() == ours.keys()
    assert len(set(theirs.values())) == len(ours)
    assert {official_name(key, deep=deep) for key in theirs.values()} == ours.keys()
    assert all(official_name(key, deep=deep) == name for name, key in theirs.items())


@pytest.mark.parametrize(
    "key", ["conv1_1._conv.bias", "bb_4_0.conv0._conv.weight", "bb_0_0.conv1._conv.weight", "a",
            "bb_0_0.res2a_branch2b_0._conv.weight", "conv2._conv.weight", "out.weight.x"],
)  # fmt: skip
def test_what_is_in_no_res2net_keeps_its_name(key):
    assert official_name(key, deep=True) == key


def content_of(trunk, depths, scale, deep):
    """What paddle.save is given: numpy arrays, a classifier's too, and a table of other names."""
    state = weights_of(trunk)
    content = {
        theirs: state[ours].numpy() for ours, theirs in names(depths, scale, deep, True).items()
    }
    content["out.weight"] = np.random.default_rng(0).random((len(state["layer4.0.bn3.bias"]), 7))
    content["out.bias"] = np.arange(7, dtype=np.float32)
    return {**content, "StructuredToParameterName@@": {key: "x" for key in content}}


DEEP = {"stem": "deep", "average_shortcut": True}
SMALL = (2, 1, 1, 1)


@pytest.fixture(params=[False, True], ids=["plain", "vd"])
def made(request):
    """A small net with weights of its own, and what is in its file."""
    torch.manual_seed(3)
    net = res2net(SMALL, width=8, first_block="summed", **(DEEP if request.param else {}))
    for value in net.state_dict().values():
        value += 1
    return request.param, net, content_of(net, SMALL, 4, request.param)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("pairs", [False, True])
def test_a_file_loads_bit_for_bit(made, tmp_path, protocol, pairs):
    deep, net, content = made
    if pairs:
        content = {k: (k, v) if isinstance(v, np.ndarray) else v for k, v in content.items()}
    file = tmp_path / "net.pdparams"
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    trunk = res2net(SMALL, width=8, first_block="summed", **(DEEP if deep else {}))
    loaded = load(trunk, file)
    for key, value in weights_of(trunk).items():
        assert torch.equal(value, net.state_dict()[key]), key
    assert set(loaded.dropped) == {"fc.weight", "fc.bias"} and loaded.first_block is None
    other = res2net(SMALL, width=8, **(DEEP if deep else {}))
    assert load(other, file).first_block == "summed"


def test_conversion_names_the_variant_with_its_rule(undrawn, tmp_path):
    net = MODELS["res2net50_14w_8s_summed"]()
    content = content_of(net, DEPTHS[50], 8, False)
    (tmp_path / "net.pdparams").write_bytes(pickle.dumps(content, protocol=2))
    out = tmp_path / "net.safetensors"
    assert convert(tmp_path / "net.pdparams", out) == "res2net50_14w_8s_summed"
    assert read_card(out)["variant"] == "res2net50_14w_8s_summed"
    expected = net.state_dict()["layer4.2.convs.6.weight"].clone()
    nn.init.zeros_(net.layer4[2].convs[6].weight)
    assert load(net, out).first_block is None
    assert torch.equal(net.layer4[2].convs[6].weight, expected)


ARRAYS = {
    "float": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.arange(4, dtype=np.float16),
    "double": np.linspace(-1, 1, 24).reshape(2, 3, 4),
    "bytes": np.arange(256, dtype=np.uint8),
    "whole": np.arange(-3, 3).reshape(1, 6),
    "truth": np.array([True, False]),
    "columns": np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4)),
    "number": np.float32(2.5),
    "no_sides": np.array(3, dtype=np.int64),
}


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_are_what_numpy_wrote(tmp_path, protocol):
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps({**ARRAYS, "text": "x"}, protocol=protocol))
    found = arrays.read(tmp_path / "a.pdparams")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].shape == array.shape
        assert (
            np.array_equal(found[name].numpy(), array) and found[name].numpy().dtype == array.dtype
        )


def test_a_pickle_under_another_name_is_read_by_its_content(tmp_path):
    wanted = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
    file = tmp_path / "x.pkl"
    for content in (wanted, {"model": wanted, "__author__": "someone"}):
        file.write_bytes(pickle.dumps(content))
        found = files.contents(file)
        assert list(found) == ["a"] and np.array_equal(found["a"].numpy(), wanted["a"])
    tensors = {"a": torch.from_numpy(wanted["a"])}
    for zipped in (True, False):  # torch.save's two forms
        torch.save(tensors, file, _use_new_zipfile_serialization=zipped)
        assert torch.equal(files.contents(file)["a"], tensors["a"])
    file.write_bytes(pickle.dumps({"model": tensors}))
    with pytest.raises(WeightsError, match="refused, because reading it would run code"):
        files.contents(file)
    file.write_bytes(pickle.dumps(wanted)[:-9])
    with pytest.raises(WeightsError, match="is cut short or damaged"):
        files.contents(file)


def test_the_text_of_python_2_is_read(tmp_path):
    """Bytes as a string of protocol 2, and numpy's former name of its core."""
    data = struct.pack("<2f", 1.5, -2)
    content = (
        b"\x80\x02}U\x01ncnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U" + bytes([len(data)]) + data + b"tbs."
    )
    (tmp_path / "a.pdparams").write_bytes(content)
    assert arrays.read(tmp_path / "a.pdparams")["n"].tolist() == [1.5, -2]


class Call:
    """A pickle of it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile(marker):
    touch = f"touch {marker}"
    return {
        "posix.system": Call(os.system, touch),
        "builtins.eval": Call(builtins.eval, f"open({str(marker)!r}, 'w')"),
        "builtins.exec": Call(builtins.exec, f"open({str(marker)!r}, 'w')"),
        "builtins.getattr": Call(builtins.getattr, np.ndarray, "tofile"),
        "numpy.load": Call(np.load, str(marker)),
        "numpy.memmap": Call(np.memmap, str(marker), "u1", "w+", 0, (1,)),
        "numpy.testing._private.utils.runstring": Call(np.testing.runstring, touch, {}),
        "functools.partial": Call(functools.partial, os.system, touch),
        "codecs.decode": Call(codecs.decode, b"6162", "hex"),
        "builtins.bytearray": bytearray(b"ab"),
        "collections.OrderedDict": Call(collections.OrderedDict),
    }


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", hostile(""))
def test_every_other_name_is_refused(tmp_path, made, name, protocol):
    marker, file = tmp_path / "code-has-run", tmp_path / "x.pdparams"
    _, net, content = made
    content["x"] = hostile(marker)[name]
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load(net, file)
    message = str(caught.value)
    assert message.startswith(f"{file}: refused, because reading it would run code (")
    asked = {"builtins.getattr", "codecs.decode"}
    assert name.rpartition(".")[2] in message or (name in asked and protocol == 2), message
    assert "\n" not in message and not marker.exists()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_the_hostile_ones_can_do_harm(tmp_path):
    """Or the test above proves nothing."""
    marker = tmp_path / "code-has-run"
    pickle.loads(pickle.dumps(hostile(marker)["builtins.exec"]))
    assert marker.exists()


@pytest.mark.parametrize(
    "code",
    [
        # Attributes of a class, which would stay for the next file, and of an object.
        b"cnumpy\ndtype\n(N}X\x05\x00\x00\x00valueX\x01\x00\x00\x00xs\x86b.",
        b"c_codecs\nencode\n(N}X\x04\x00\x00\x00textX\x01\x00\x00\x00xs\x86b.",
        b"c_codecs\nencode\n}X\x04\x00\x00\x00textX\x01\x00\x00\x00xsb.",
        b"cnumpy\nndarray\n)\x81}X\x04\x00\x00\x00dataX\x01\x00\x00\x00xsb.",
        b"(K\x01K\x02t.",  # no dict
        b"K\x01.",
        b"K\x01r\xff\xff\xff\xff.",  # a place beyond all memory
        b"X\xff\xff\xff\x7fx.",  # a text longer than the file
        b"\x8e" + struct.pack("<Q", 1 << 60) + b".",
        b"\x82\x01.",
        b"X\x01\x00\x00\x00xQ.",
        b"0.",
        b"",
    ],
)
def test_a_pickle_of_something_else_is_one_line(tmp_path, code):
    file = tmp_path / "x.pdparams"
    file.write_bytes(b"\x80\x04" + code)
    before = {one: dict(vars(one)) for one in set(arrays._KNOWN.values())}
    with pytest.raises(WeightsError, match=r"x\.pdparams: is cut short or damaged") as caught:
        arrays.read(file)
    assert "\n" not in str(caught.value)
    assert all(dict(vars(one)) == was for one, was in before.items())


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3, dtype=">f4"), np.array([{}, None]), np.array(["a"]), np.zeros(2, "f4, i4"),
        np.zeros(2, np.complex64), np.zeros(2, np.uint16),
    ],
)  # fmt: skip
def test_arrays_of_other_kinds_are_refused(tmp_path, array):
    (tmp_path / "x.pdparams").write_bytes(pickle.dumps({"a": array}, protocol=2))
    with pytest.raises(WeightsError, match="damaged"):
        arrays.read(tmp_path / "x.pdparams")


def test_arrays_larger_than_their_file_are_refused(tmp_path):
    """One array under many names, which a pickle writes once."""
    one = np.zeros(1000, np.float32)
    content = {str(index): one for index in range(100)}
    (tmp_path / "x.pdparams").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(WeightsError, match="larger than itself"):
        arrays.read(tmp_path / "x.pdparams")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "x.pdparams").open("wb") as file:
        file.truncate(arrays.LARGEST + 1)
    with pytest.raises(WeightsError, match="at most 1,073,741,824 are read"):
        arrays.read(tmp_path / "x.pdparams")


def test_a_file_cut_short_or_of_another_kind_is_refused(made, tmp_path):
    _, net, content = made
    whole, file = pickle.dumps(content, protocol=2), tmp_path / "x.pdparams"
    for part in (0.0001, 0.01, 0.3, 0.5, 0.9, 0.9999):
        file.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(WeightsError, match="cut short or damaged"):
            load(net, file)
    for start in (b"", b"<!DOCTYPE html>", b"PK\x03\x04", b"cposix\nsystem\n."):
        file.write_bytes(start)
        with pytest.raises(WeightsError, match="is not a checkpoint"):
            load(net, file)


def test_a_weight_under_two_names_is_refused(made, tmp_path):
    _, net, content = made
    content["bb_0_0.res2b_branch2b_1._conv.weight"] = np.zeros(3)
    (tmp_path / "x.pdparams").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(WeightsError, match=r"has layer1\.0\.convs\.0\.weight twice"):
        load(net, tmp_path / "x.pdparams")
