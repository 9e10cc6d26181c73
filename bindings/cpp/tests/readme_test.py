"""The program that README.md shows is an example that is built and run: word for word."""
import pathlib
import sys


def main(readme, example):
    shown = pathlib.Path(readme).read_text(encoding='utf-8').split('```cpp\n', 1)[1]
    if shown.split('```', 1)[0] != pathlib.Path(example).read_text(encoding='utf-8'):
        sys.exit(f'{readme} shows another program than {example}')


main(*sys.argv[1:])
