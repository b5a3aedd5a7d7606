"""Write the reference pages: the recipe keys in training/recipes/README.md and all commands in speechtl/cli/README.md.

    python training/reference.py            write the pages
    python training/reference.py --check    exit code 1 if a page is out of date

The text comes from the recipe models and from the help of the commands: change it there.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from speechtl.audio.pretraining.recipe import PretrainingRecipe
from speechtl.audio.recipe import Recipe
from speechtl.cli.app import app
from speechtl.image.recipe import ImageRecipe

ROOT = Path(__file__).parents[1]
RECIPE_PAGE, COMMANDS = ROOT / "training" / "recipes" / "README.md", ROOT / "speechtl" / "cli" / "README.md"
RECIPES: tuple[tuple[str, type[BaseModel], str], ...] = (  # title, model, and a name as an example
    ("Recipes for wake words", Recipe, "marvin"),
    ("Recipes for pictures", ImageRecipe, "leaves"),
    ("Recipes for pretraining", PretrainingRecipe, "phones"),
)
# Examples for keys that have no default, or an empty one; those in OPTIONAL are shown as comments.
SHOWN = {"positives": ["recordings/marvin"], "negatives": ["recordings/other"], "train": ["pictures/leaves"]}
OPTIONAL = {"negative_minutes": 50.0, "examples": 100, "keep": "fire7", "start": "runs/phones/encoder.safetensors"}
COMMENT_COLUMN = 41
ALL_KEYS = """# Recipes

All keys with their defaults, written by `python training/reference.py` from the recipe models. Required are only `name` and `positives`
(unless `synthesise` is true), or `name` and `train` for pictures. An unknown key is an error that suggests the nearest one. `words/`,
`pictures/` and `pretraining/` have recipes to start from.
"""
INTRODUCTION = """# Commands

Written by `python training/reference.py` from the help of the commands; `speechtl COMMAND --help` prints the same.

Exit codes: 0 done, 1 a check failed, 2 invalid input, 130 stopped by Ctrl-C. With `--json` a command writes JSON to standard output and
everything else to standard error.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    check = parser.parse_args(arguments).check
    stale = [path for path, text in pages().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(pages()[path], encoding="utf-8")
        print(f"{path.relative_to(ROOT)} {'is out of date; run: python training/reference.py' if check else 'written'}")
    return int(check and bool(stale))


def pages() -> dict[Path, str]:
    """The pages as they should be."""
    return {RECIPE_PAGE: recipe_reference(), COMMANDS: command_reference()}


def recipe_reference() -> str:
    """All keys of all recipes, each kind as a TOML block with the defaults."""
    return ALL_KEYS + "".join(f"\n## {title}\n\n```toml\n{_toml(model, name)}```\n" for title, model, name in RECIPES)


def _toml(model: type[BaseModel], example: str) -> str:
    sections = {name: kind for name, field in model.model_fields.items() if isinstance(kind := field.annotation, type)}
    sections = {name: kind for name, kind in sections.items() if issubclass(kind, BaseModel)}
    lines = [_line(name, field, example) for name, field in model.model_fields.items() if name not in sections]
    for name, section in sections.items():
        lines += ["", _commented(f"[{name}]", (section.__doc__ or "").split("\n")[0])]
        lines += [_line(key, field) for key, field in section.model_fields.items()]
    return "\n".join(lines) + "\n"


def _line(key: str, field: FieldInfo, example: str = "") -> str:
    default = SHOWN.get(key, example) if field.is_required() or key in SHOWN else field.get_default(call_default_factory=True)
    about = " ".join((field.description or "").split())
    if default is None:
        return _commented(f"# {key} = {json.dumps(OPTIONAL.get(key, ''))}", about)
    return _commented(f"{key} = {json.dumps(default)}", about)


def _commented(code: str, about: str) -> str:
    return f"{code:{COMMENT_COLUMN}} # {about}" if about else code


def command_reference() -> str:
    """The page on all commands: a table of links, then a section for each command."""
    commands = [(name, command) for name, command in walk() if not getattr(command, "commands", None)]
    rows = [f"| [`{name}`](#{_anchor(name)}) | {_sentence(command)} |" for name, command in commands]
    sections = [_section(name, command) for name, command in commands]
    return "\n".join([INTRODUCTION, "| command | |", "|---|---|", *rows, "", *sections])


def walk(name: str = "speechtl", command: Any = None) -> Iterator[tuple[str, Any]]:
    """The command line with all its groups and commands, by their full names."""
    command = command or typer.main.get_command(app)
    yield name, command
    for part, inner in (getattr(command, "commands", None) or {}).items():
        yield from walk(f"{name} {part}", inner)


def _anchor(name: str) -> str:
    return re.sub(r"[^\w-]", "", name.lower().replace(" ", "-"))


def _sentence(command: Any) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())


def _section(name: str, command: Any) -> str:
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    arguments = [param for param in shown if param.param_type_name == "argument"]
    options = [param for param in shown if param.param_type_name == "option"]
    usage = " ".join([name, *(["[OPTIONS]"] if options else []), *(_metavar(argument) for argument in arguments)])
    help_text = "\n\n".join(" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n"))
    rows = [_row(_metavar(param) if param in arguments else _option(param), param) for param in (*arguments, *options)]
    example = f"\n```\n{command.epilog.strip()}\n```\n" if command.epilog else ""
    return "\n".join([f"## {name}", "", help_text, "", f"`{usage}`", "", "| | |", "|---|---|", *rows, example])


def _row(shown: str, param: Any) -> str:
    notes = [getattr(param, "help", "") or "", "Required." if param.required else "", _default(param)]
    return f"| `{shown}` | {' '.join(filter(None, notes)).replace('|', chr(92) + '|')} |"


def _metavar(param: Any) -> str:
    shown = param.metavar or str(param.name).upper() + ("..." if param.nargs == -1 else "")
    shown = shown.strip("{}[]").replace("|", "/")
    return shown if param.required else f"[{shown}]"


def _option(param: Any) -> str:
    names = ", ".join(param.opts) + "".join(f" / {name}" for name in param.secondary_opts)
    return names if param.is_flag else f"{names} {param.metavar or _kind(param.type)}"


def _kind(kind: Any) -> str:
    names = {"int": "N", "float": "NUMBER", "path": "PATH"}
    return next((shown for prefix, shown in names.items() if str(kind.name).lower().startswith(prefix)), "TEXT")


def _default(param: Any) -> str:
    shown = getattr(param, "show_default", False)
    if isinstance(shown, str):
        return f"Default: {shown}."
    is_flag = getattr(param, "is_flag", False)  # arguments have no such attribute
    if not shown or param.required or param.default is None or (is_flag and not param.secondary_opts):
        return ""
    value = param.default
    if is_flag:
        value = (param.opts if value else param.secondary_opts)[0]
    elif isinstance(value, Mapping | list | tuple):
        value = ", ".join(map(str, value))
    return f"Default: {value}." if value != "" else ""


if __name__ == "__main__":
    sys.exit(main())
