"""The C program that README.md shows is an example that is built and run: word for word."""

import sys


def main(readme_path, example_path):
    with open(readme_path, encoding="utf-8") as file:
        readme = file.read()
    with open(example_path, encoding="utf-8") as file:
        example = file.read()
    shown = readme.split("```c\n", 1)[1].split("```", 1)[0]
    if shown != example:
        sys.exit(f"README.md shows another program than {example_path}")


main(*sys.argv[1:])
