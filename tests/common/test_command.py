import pytest

from common import command
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
        command.run(lambda: raise_error(KeyError("x")), KeyError)
    with pytest.raises(KeyError):
        command.run(lambda: raise_error(KeyError("x")))


def test_a_command_that_ends_well_is_silent(capsys):
    command.run(lambda: None)
    assert capsys.readouterr() == ("", "")
