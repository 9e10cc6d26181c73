#!/usr/bin/env python3
"""The manual as it was built: no warnings, a page for each function with all of its parameters, and
nothing of the machine that built it.

usage: manual_test.py MANUAL SOURCE-ROOT BUILD-ROOT
"""
import pathlib
import re
import sys


def functions(source):
    """Each exported function's header and parameters."""
    for header in sorted((source / 'capi/include/ferry').glob('*.h')):
        text = re.sub(r'/\*.*?\*/', '', header.read_text(encoding='utf-8'), flags=re.S)
        for name, parameters in re.findall(r'^FERRY_API [^;(]*?(ferry_\w+)\(([^;]*)\);', text,
                                           flags=re.M | re.S):
            yield header.name, name, re.findall(r'(\w+)(?:,|$)', parameters.replace('void', ''))


def judge_page(manual, header, name, parameters):
    page = manual / 'man3' / f'{name}.3'
    if not page.is_file():
        yield f'{name}: there is no man page'
        return
    text = page.read_text(encoding='utf-8')
    wanted = [f'.TH "{name}" 3 ', f'\n.SH NAME\n{name} \\- ', f'#include <ferry/{header}>',
              f'{name}(', '\\fBThreads\\fP']
    wanted += [f'\\fI{parameter}\\fP ' for parameter in parameters]
    for part in wanted:
        if part not in text:
            yield f'{page.name}: does not contain {part.strip()!r}'


def judge_folder(manual, machine):
    for page in sorted(manual.rglob('*')):
        if page.is_file():
            content = page.read_bytes()
            for path in machine:
                if path.encode() in content:
                    yield f'{page}: names {path}'


def main(manual, source, build):
    warnings = (manual / 'manual.warnings').read_text(encoding='utf-8')
    wrong = warnings.splitlines()
    listed = list(functions(source))
    for header, name, parameters in listed:
        wrong += judge_page(manual, header, name, parameters)
    if len(listed) < 30 or not any(parameters for _, _, parameters in listed):
        wrong.append(f'only {len(listed)} functions were found in the headers')
    if not (manual / 'html/index.html').is_file():
        wrong.append('there is no html/index.html')
    for folder in ('html', 'man3'):
        wrong += judge_folder(manual / folder, {str(source), str(build)})
    foreign = [page.name for page in (manual / 'man3').iterdir()
               if not page.name.startswith('ferry_')]
    wrong += [f'man3/{name}: not a name of ours' for name in foreign]
    if wrong:
        sys.exit('\n'.join(wrong))
    print(f'{len(listed)} functions have their pages')


main(*(pathlib.Path(argument) for argument in sys.argv[1:]))
