"""MATLAB's files: what is in them, and one line for one that is damaged."""

import numpy as np
import pytest
from scipy.io import savemat

from common.errors import DamagedFile
from common.reading.matlab import read_mat


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def file(tmp_path, request):
    path = tmp_path / "truth.mat"
    record = np.array([("a", 1)], dtype=[("name", "O"), ("count", "i4")])
    content = {"numbers": np.arange(12.0).reshape(3, 4), "one": np.ones((1, 5)), "record": record}
    savemat(path, content, do_compression=request.param)
    return path


def test_the_variables_of_a_file(file):
    np.testing.assert_array_equal(read_mat(file, "it")["numbers"], np.arange(12).reshape(3, 4))
    assert read_mat(file, "it")["one"].shape == (1, 5)
    assert read_mat(file, "it", squeeze=True)["one"].shape == (5,)


def test_a_file_cut_anywhere_is_refused_in_a_line_or_reads_as_fewer_variables(file):
    data = file.read_bytes()
    for length in range(0, len(data), 7):
        file.write_bytes(data[:length])
        try:
            content = read_mat(file, "the truth")
        except DamagedFile as error:
            assert str(error).startswith(f"{file}: is not the truth, or damaged (")
            assert "\n" not in str(error)
        else:
            assert "record" not in content


def test_a_file_of_something_else_or_of_a_later_version(tmp_path):
    file = tmp_path / "truth.mat"
    with pytest.raises(DamagedFile, match="no such file"):
        read_mat(file, "it")
    file.write_text("not MATLAB's\n" * 40)
    with pytest.raises(DamagedFile, match="is not the truth, or damaged"):
        read_mat(file, "the truth")
    file.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400))
    with pytest.raises(DamagedFile, match=r"version 7\.3; save it with -v7"):
        read_mat(file, "it")
