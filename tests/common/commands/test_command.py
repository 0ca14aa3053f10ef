import os
import subprocess
import sys

import pytest

from backbone import WeightsError
from common.commands import command
from common.errors import UserError


def raise_error(error):
    raise error


def test_a_users_mistake_is_one_line_and_status_2(capsys):
    with pytest.raises(SystemExit) as caught:
        command.run(lambda: raise_error(UserError("--out is\n  wrong")))
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: --out is wrong\n"


def test_expected_errors_are_the_users_and_others_are_ours():
    with pytest.raises(SystemExit):
        command.run(lambda: raise_error(WeightsError("x")))
    with pytest.raises(KeyError):
        command.run(lambda: raise_error(KeyError("x")))


def test_a_command_that_ends_well_is_silent(capsys):
    command.run(lambda: None)
    assert capsys.readouterr() == ("", "")


def test_a_file_that_the_system_refuses_is_named(capsys, tmp_path):
    with pytest.raises(SystemExit) as caught:
        command.run(lambda: print((tmp_path / "gone").read_text()))
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/gone: No such file or directory\n"
    with pytest.raises(SystemExit):
        command.run(lambda: print(tmp_path.read_text()))
    assert capsys.readouterr().err == f"error: {tmp_path}: Is a directory\n"
    with pytest.raises(SystemExit):
        command.run(lambda: print((tmp_path / ("a" * 300)).is_file()))
    assert capsys.readouterr().err.endswith("aaa: File name too long\n")


def test_other_errors_of_the_system_are_ours():
    for error in (PermissionError("no file is named"), ConnectionError("x")):
        with pytest.raises(type(error)):
            command.run(lambda error=error: raise_error(error))


def test_ctrl_c_ends_without_a_word(capsys):
    with pytest.raises(SystemExit) as caught:
        command.run(lambda: raise_error(KeyboardInterrupt()))
    assert caught.value.code == 130
    assert capsys.readouterr() == ("", "")


def test_names_that_are_no_text_are_printed_and_a_reader_that_goes_away_ends_a_command():
    """Without a word, and with the status that a signal of the pipe would give."""
    code = (
        "from common.commands import command; "
        "command.run(lambda: [print('caf\\udce9'), *(print('x' * 999) for _ in range(999))])"
    )
    script = f'{sys.executable} -c "{code}" | head -n 1; echo "${{PIPESTATUS[0]}}"'
    # In the plainest locale Python itself would print such names.
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env=strict)
    assert done.stdout.split() == [b"caf\xe9", b"141"]
    assert done.stderr == b""
