#!/usr/bin/env python3
"""Build the manual: HTML as Doxygen writes it, and a man page for each function.

usage: manual.py DOXYGEN DOXYFILE OUTPUT VERSION

Doxygen's man pages are one for each header, and its links would put a free.3 and a log.3 (fields of
structs) before the system's own pages. So the sections of its pages become pages here. Below OUTPUT:
html/, man3/, manual.warnings (empty if all is well) and manual.d (what the manual is made from).
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap


def run_doxygen(doxygen, doxyfile, output):
    for folder in ('html', 'man', 'man3'):
        shutil.rmtree(output / folder, ignore_errors=True)
    done = subprocess.run([doxygen, doxyfile], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True, check=False)
    (output / 'manual.warnings').write_text(done.stderr, encoding='utf-8')
    sys.stderr.write(done.stderr)
    if done.returncode != 0 and not done.stderr:
        sys.exit(f'doxygen ended with {done.returncode} and said nothing')


# ---- man pages ----------------------------------------------------------------------------------


def title(name, version):
    return f'.TH "{name}" 3 "" "Ferry {version}" "Ferry"\n'


def plain(text):
    """Without the marks of roff."""
    return re.sub(r'\\f[A-Z]|\\&', '', text).strip()


def prototype(heading):
    """A declaration as one would write it, in lines of the usual width."""
    text = re.sub(r'([*(]) +', r'\1', plain(heading))
    text = re.sub(r'([\w)]) \(', r'\1(', text)
    text = re.sub(r'(?<!,) ', '\0', text)  # Broken between parameters only.
    lines = textwrap.wrap(text + ';', 72, subsequent_indent='    ', break_long_words=False)
    return '\n'.join('\\fB' + line.replace('\0', ' ') + '\\fP' for line in lines)


def read_page(path):
    """As Doxygen wrote it, but a quote that begins a line begins no request to roff."""
    return re.sub("^'", "\\\\&'", path.read_text(encoding='utf-8'), flags=re.M)


def sections(page):
    """(heading, text) of what a header's page documents: functions, and types of callbacks."""
    for part in re.findall(r'^\.SH "(?:Function|Typedef) Documentation"\n(.*?)(?=^\.SH|\Z)', page,
                           flags=re.M | re.S):
        yield from re.findall(r'^\.SS "([^\n]*)"\n(.*?)(?=^\.SS|\Z)', part, flags=re.M | re.S)


def name_of(heading):
    text = plain(heading)
    found = re.search(r'\(\* ?(ferry_\w+)\)', text) or re.search(r'(ferry_\w+) ?\(', text)
    return found.group(1) if found else None


def page_of(name, heading, text, header, others, version):
    text = text.replace('\n.PP\n\n', '\n').strip().removeprefix('.PP\n')
    brief = plain(re.split(r'\\&\.', text)[0])
    also = ',\n'.join(f'.BR {other} (3)' for other in others if other != name)
    return (title(name, version) + '.ad l\n.nh\n'
            f'.SH NAME\n{name} \\- {brief}\n'
            f'.SH SYNOPSIS\n.nf\n\\fB#include <ferry/{header}>\\fP\n.sp\n{prototype(heading)}\n.fi\n'
            f'.SH DESCRIPTION\n{text}\n' + (f'.SH "SEE ALSO"\n{also}\n' if also else ''))


def write_pages(source, target, version):
    target.mkdir()
    for page in sorted(source.glob('*.h.3')):
        text = read_page(page)
        found = [(name_of(heading), heading, body) for heading, body in sections(text)]
        found = [entry for entry in found if entry[0]]
        names = [name for name, _, _ in found]
        for name, heading, body in found:
            (target / f'{name}.3').write_text(
                page_of(name, heading, body, page.name.removesuffix('.3'), names, version),
                encoding='utf-8')
    for page in sorted(source.glob('ferry_*.3')):  # Records, each on a page already.
        if (target / page.name).exists():
            continue
        text = read_page(page)
        text = re.sub(r'^\.TH .*\n', lambda _: title(page.stem, version), text, flags=re.M)
        text = re.sub(r'^\.SH "Author"\n.*', '', text, flags=re.M | re.S)
        (target / page.name).write_text(text, encoding='utf-8')


def write_depfile(doxyfile, output):
    """All that lies in the folders Doxygen reads, the folders too: a new file changes them."""
    text = doxyfile.read_text(encoding='utf-8')
    inputs = re.search(r'^INPUT\s*=((?:.*\\\n)*.*)', text, flags=re.M).group(1)
    files = [pathlib.Path(__file__).resolve()]
    for folder in re.findall(r'"([^"]+)"', inputs):
        files += [pathlib.Path(folder), *sorted(pathlib.Path(folder).rglob('*'))]
    listed = ' '.join(str(file).replace(' ', '\\ ') for file in files)
    target = os.path.relpath(output / 'html')
    (output / 'manual.d').write_text(f'{target}: {listed}\n', encoding='utf-8')


def main(doxygen, doxyfile, output, version):
    doxyfile, output = pathlib.Path(doxyfile), pathlib.Path(output)
    run_doxygen(doxygen, doxyfile, output)
    write_pages(output / 'man' / 'man3', output / 'man3', version)
    shutil.rmtree(output / 'man')
    write_depfile(doxyfile, output)


main(*sys.argv[1:])
