"""The digests of all shipped architectures, as tests/data/digests.json keeps them.

`make digests` writes the file again. It refuses where one would change without a new version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import archdsl
from archdsl.graph import library
from archdsl.graph.digest import VERSION, training_digest

FILE = Path(__file__).parent / "data" / "digests.json"


def digests(names: Iterable[str] | None = None) -> dict[str, list[str]]:
    """The digest and that of training of each, by name.

    Args:
        names: of some of them; None for all.
    """
    places = library.index()
    loaded = {name: archdsl.load(places[name], name) for name in sorted(names or places)}
    return {name: [a.digest(), training_digest(a)] for name, a in loaded.items()}


def mistake(old: dict[str, list[str]], new: dict[str, list[str]], version: str) -> str:
    """Why new digests may not take the place of old ones; '' where they may."""
    changed = [k for k in old if k in new and old[k][0] != new[k][0]]
    if changed and version == VERSION:
        return f"VERSION is {VERSION} still, but {len(changed)} digests change, first that of {changed[0]}"
    return ""


def main() -> None:
    """Writes the file, or says why not."""
    new = digests()
    if FILE.exists():
        stored = json.loads(FILE.read_text(encoding="utf-8"))
        if refused := mistake(stored["digests"], new, stored["version"]):
            sys.exit(refused)
    content = json.dumps({"version": VERSION, "digests": new}, indent=1)
    FILE.write_text(f"{content}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
