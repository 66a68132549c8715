"""``ogam train``: the models that can be made. Each is a module, imported when it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import typer
from typer.core import TyperGroup

# what is made -> the module with its ``app``
_COMMANDS = {
    "classifier": "train_classifier",
    "transformer": "train_transformer",
    "language-model": "train_language_model",
    "word2vec": "train_word2vec",
}


class _Kinds(TyperGroup):
    """A group whose commands are imported one by one, when asked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = {
            name: None
            for name, module in _COMMANDS.items()
            if importlib.util.find_spec(f"ogam.cli.{module}")
        }

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in self.commands:
            return None
        module = importlib.import_module(f"ogam.cli.{_COMMANDS[cmd_name]}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Kinds,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def train() -> None:
    """Make a model: fine-tune one, or train one from nothing.

    Every run has a folder, can be stopped by Ctrl-C and gone on with by --resume, and ends in
    FOLDER/model, which an engine serves at once.
    """
