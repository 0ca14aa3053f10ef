"""Texts that other systems wrote: read, or refused in a line that names what they can be."""

import pytest

from common.errors import DamagedFile, UserError
from common.reading.annotations import read_json, read_text
from common.reading.encoding import decoded, read_xml


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_texts_that_say_what_they_are(tmp_path, codec):
    (tmp_path / "list.txt").write_bytes("道路\r\n犬\r\n".encode(codec))
    assert read_text(tmp_path / "list.txt", "list of classes").splitlines() == ["道路", "犬"]
    (tmp_path / "a.json").write_bytes('{"name": "道路"}'.encode(codec))
    assert read_json(tmp_path / "a.json")[0] == {"name": "道路"}


@pytest.mark.parametrize("codec", ["gb18030", "cp932", "cp1251", "cp1252"])
def test_texts_of_which_nobody_knows_are_named(tmp_path, codec):
    word = {"cp1251": "собака", "cp1252": "café"}.get(codec, "道路")
    (tmp_path / "a.json").write_bytes(f'{{"name": "{word}"}}'.encode(codec))
    with pytest.raises(DamagedFile, match=f"a.json: is not UTF-8 .*{codec}.* save it as utf-8"):
        read_json(tmp_path / "a.json")
    (tmp_path / "list.txt").write_bytes(word.encode(codec))
    with pytest.raises(UserError, match=f"list.txt: cannot be read as a list: .*{codec}"):
        read_text(tmp_path / "list.txt", "list")


def test_a_mark_that_is_not_kept(tmp_path):
    with pytest.raises(ValueError, match="begins with the mark of utf-16 and is not"):
        decoded(b"\xff\xfe\x00")


def test_xml_by_its_declaration(tmp_path):
    file = tmp_path / "a.xml"
    for declared, codec in (("windows-1251", "cp1251"), ("ISO-8859-5", "iso8859-5")):
        file.write_bytes(f"<?xml version='1.0' encoding='{declared}'?><a>собака</a>".encode(codec))
        assert read_xml(file).text == "собака"
    file.write_bytes("<a>собака</a>".encode("cp1251"))
    with pytest.raises(DamagedFile, match=r"a.xml: is not UTF-8 .*cp1251"):
        read_xml(file)
    with pytest.raises(DamagedFile, match=r"none.xml: cannot be read \(No such file"):
        read_xml(tmp_path / "none.xml")
