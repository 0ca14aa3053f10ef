"""Text of files that other systems wrote: by their mark, by what they declare, or as UTF-8."""

import codecs
import re
from pathlib import Path
from xml.etree import ElementTree

from common.errors import DamagedFile

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# Programs write more characters than the standard that they name has.
_LARGER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949"}

_USUAL = ("gb18030", "cp932", "big5", "cp949", "cp1251", "cp1252")
"""What files are mostly written in that are not UTF-8; the last one fits nearly any bytes."""

_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)["']""")


def decoded(data: bytes) -> str:
    """Text of bytes in UTF-8, or in UTF-16 or UTF-32 with the mark at their beginning.

    Raises:
        ValueError: they are of another encoding; it says which ones fit, in a part of a sentence.
    """
    codec = next((codec for mark, codec in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(codec)
    except UnicodeDecodeError as error:
        raise ValueError(_explained(data, codec, error.start)) from None


def _explained(data: bytes, codec: str, place: int) -> str:
    if codec != "utf-8":
        return f"begins with the mark of {codec} and is not ({codec} fails at byte {place:,})"
    fitting = [one for one in _USUAL if _fits(data, one)]
    if b"\0" in data or not fitting:
        return f"is not UTF-8 (byte {place:,} is not), and not text in another usual encoding"
    return (
        f"is not UTF-8 (byte {place:,} is not); it can be {' or '.join(fitting)}: "
        f"save it as utf-8, such as with iconv -f {fitting[0]} -t utf-8"
    )


def _fits(data: bytes, codec: str) -> bool:
    try:
        data.decode(codec)
    except UnicodeDecodeError:
        return False
    return True


def read_xml(path: Path) -> ElementTree.Element:
    """Root of an XML file, in the encoding that it declares or has a mark of, else in UTF-8.

    Raises:
        DamagedFile: it is missing, not XML, or not in that encoding.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedFile(f"{path}: cannot be read ({error.strerror})") from None
    declared = _DECLARED.match(data)
    try:
        text = decoded(data) if declared is None else _declared(data, declared[1].decode("latin-1"))
        # Given text, the parser takes it for what it is, whatever it declares.
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DamagedFile(f"{path}: is not valid XML ({error}); copy or unpack it again") from None
    except ValueError as error:
        raise DamagedFile(f"{path}: {error}") from None


def _declared(data: bytes, name: str) -> str:
    """Text of bytes that declare their encoding."""
    try:
        known = codecs.lookup(name).name.replace("-", "_")
        return data.decode(_LARGER.get(known, known))
    except LookupError:
        raise ValueError(
            f"declares the encoding {name!r}, which is not known; write the one that it is saved "
            "in into its first line, such as utf-8"
        ) from None
    except UnicodeError as error:
        raise ValueError(f"declares the encoding {name!r} and is not in it ({error})") from None
