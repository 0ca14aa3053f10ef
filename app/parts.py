"""Parts of the page: inputs that take uploads as they are, errors in one line, lists in HTML."""

import functools
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from app.heads.head import Choice, Head, Line, Slider
from common.errors import UserError

F = TypeVar("F", bound=Callable[..., Any])


def upload_of(given: Any) -> Path | None:
    """The file of an upload, from what a listener without preprocessing is given; None of none.

    Preprocessing would decode a picture before anybody has looked at its header. The address that
    comes along is not looked at.
    """
    return Path(given["path"]) if isinstance(given, dict) and given.get("path") else None


def chosen(heads: dict[str, Head], name: Any) -> Head:
    """The head of a name that a visitor chose.

    Raises:
        UserError: there is none.
    """
    if name not in heads:
        raise UserError(f"{name}: no such run; there are {', '.join(heads)}")
    return heads[name]


def said(function: F) -> F:
    """The function with a visitor's mistakes as messages of one line."""

    @functools.wraps(function)
    def spoken(*given: Any) -> Any:
        try:
            return function(*given)
        except UserError as error:
            text = html.escape(" ".join(str(error).split()))
            raise gr.Error(text, duration=20, title="Not done", print_exception=False) from error

    return spoken  # type: ignore[return-value]


def control(one: Slider | Choice) -> Any:
    """What a visitor sets a value with."""
    if isinstance(one, Slider):
        return gr.Slider(
            one.least, one.greatest, one.value, step=one.step, label=one.label, min_width=150
        )
    return gr.Dropdown(list(one.options), value=one.value, label=one.label, min_width=150)


def listed(lines: Sequence[Line], most: int = 60) -> str:
    """Lines as an HTML list: a square of the colour, the text, the number, a bar for the share."""
    rows = "".join(map(_line, lines[:most]))
    more = f"<li>and {len(lines) - most} more</li>" if len(lines) > most else ""
    return f'<ul class="lines">{rows}{more}</ul>'


def _line(line: Line) -> str:
    colour = ""
    if line.colour is not None:
        red, green, blue = line.colour
        colour = f'<i style="background:rgb({red},{green},{blue})"></i>'
    width = round(100 * min(1.0, max(0.0, line.share)))
    return (
        f'<li><b style="width:{width}%"></b>{colour}<span>{html.escape(line.text)}</span>'
        f"<em>{html.escape(line.number)}</em></li>"
    )


def links(addresses: dict[str, str]) -> str:
    """Downloads, by their names."""
    return (
        '<p class="links">'
        + " ".join(
            f'<a href="{html.escape(address)}" download>{html.escape(name)}</a>'
            for name, address in addresses.items()
        )
        + "</p>"
    )
