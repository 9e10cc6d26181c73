"""Whatever C a page shows is from an example that is built and run: word for word."""

import re
import sys


def main(page_path, example_path):
    with open(page_path, encoding="utf-8") as file:
        shown = re.findall(r"^```c\n(.*?)^```", file.read(), re.MULTILINE | re.DOTALL)
    with open(example_path, encoding="utf-8") as file:
        example = file.read()
    if not shown:
        sys.exit(f"{page_path} shows no C")
    for block in shown:
        if block not in example:
            sys.exit(f"{page_path} shows what is not in {example_path}:\n{block}")


main(*sys.argv[1:])
