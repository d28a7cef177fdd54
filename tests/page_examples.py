"""A page of examples read for its tests: Python blocks, what they promise to print, commands."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

from experiments.cli import parsed


class ExamplePage:
    """Blocks and commands of a Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        # Each Python block, with the output that a block of text right after it promises.
        pattern = r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?"
        self.blocks = list(re.finditer(pattern, self.text, flags=re.DOTALL))
        self.commands = re.findall(r"^wavegan ((?:[^\n\\]|\\\n)+)$", self.text, flags=re.MULTILINE)

    def run(self) -> dict:
        """The names that the blocks leave, run in order and in one session."""
        names: dict = {}
        for block in self.blocks:
            code, promised = block.groups()
            line = self.text.count("\n", 0, block.start(1))
            printed = io.StringIO()
            with redirect_stdout(printed):
                exec(compile("\n" * line + code, str(self.path), "exec"), names)
            if promised is not None:
                assert printed.getvalue() == promised, f"line {line}: {printed.getvalue()}"
        return names

    def parse(self, command: str):
        """The call of a command as the command line takes it."""
        return parsed(command.replace("\\\n", " ").split("#")[0].split())
