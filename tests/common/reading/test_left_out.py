import pytest

from common.errors import DamagedFile, UserError
from common.reading.left_out import LeftOut


def test_damaged_files_are_told_counted_and_left_out(capsys):
    left_out = LeftOut("skip")
    read = []
    for name in ("a.png", "b.png", "c.png"):
        with left_out:
            if name != "b.png":
                raise DamagedFile(f"{name}: is cut short")
            read.append(name)
    left_out.report("pictures")
    assert read == ["b.png"]
    assert (left_out.count, left_out.kept) == (2, 1)
    printed = capsys.readouterr()
    assert printed.err == "skipped: a.png: is cut short\nskipped: c.png: is cut short\n"
    assert printed.out == "2 pictures could not be read and were left out\n"


def test_nothing_is_said_where_nothing_is_left_out(capsys):
    left_out = LeftOut("skip")
    with left_out:
        pass
    left_out.report("pictures")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("on_error", "error"), [("stop", DamagedFile), ("skip", UserError), ("skip", KeyError)]
)
def test_all_else_rises(on_error, error):
    with pytest.raises(error), LeftOut(on_error):
        raise error("x")
