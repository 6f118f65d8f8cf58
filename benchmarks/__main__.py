"""`python -m benchmarks` lists the benchmarks; `python -m benchmarks NAME [...]` runs one."""

import ast
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent


def benchmarks() -> dict[str, str]:
    """Name -> first line of the docstring, without importing anything."""
    found = {}
    for path in sorted(HERE.glob("*.py")):
        if not path.stem.startswith("_"):
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[path.stem] = text.partition("\n")[0]
    return found


def main() -> int:
    known = benchmarks()
    if len(sys.argv) < 2:
        print("\n".join(f"{name:24} {line}" for name, line in known.items()) or "no benchmarks yet")
        return 0
    name = sys.argv[1]
    if name not in known:
        print(f"benchmark {name}: must be one of {', '.join(known) or '(none yet)'}", file=sys.stderr)
        return 2
    del sys.argv[1]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
