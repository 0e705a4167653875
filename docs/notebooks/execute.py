"""Execute the notebooks beside this file, and store their outputs in them.

python docs/notebooks/execute.py [NOTEBOOK ...]

In full, which takes minutes: two of them train a generator. The tests execute copies with small budgets.
"""

import argparse
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
#: What a cell's metadata has of the run and of the screen.
VOLATILE = ("execution", "collapsed", "jupyter")


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of running it here, and nothing that two equal runs would differ in.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=3600, resources={"metadata": {"path": str(path.parent)}}).execute()
    book.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in book.cells:
        for key in VOLATILE:
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            # What a library says on the way, progress and warnings of the machine, is no result.
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return book


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(HERE.glob("*.ipynb")))
    os.environ.pop("BOLTZGEN_QUICK", None)
    for path in parser.parse_args().notebooks:
        nbformat.write(executed(path), path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
