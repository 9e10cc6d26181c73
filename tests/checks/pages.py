#!/usr/bin/env python3
"""What the headers offer is explained in docs/pages: prints all that is missing, at once.

- each status, FERRY_E_..., in errors.md;
- each opcode, FERRY_OP_..., on any page;
- each field of each ..._options struct, as `field`, on any page, below a heading that names the
  struct;
- the pages name no FERRY_... and no ferry_... that the headers do not have;
- and laws.md, the manual's first page, leads to every other.

usage: pages.py ROOT | --self-test
"""
import pathlib
import re
import sys
import tempfile

STATUS_PAGE = 'errors.md'
FIRST_PAGE = 'laws.md'


def read(path):
    return path.read_text(encoding='utf-8')


def headers_of(root):
    """All public headers, without comments."""
    texts = [read(path) for path in sorted((root / 'capi/include').rglob('*.h'))]
    return re.sub(r'/\*.*?\*/', '', '\n'.join(texts), flags=re.S)


def pages_of(root):
    return {path.name: read(path) for path in sorted((root / 'docs/pages').glob('*.md'))}


def words(text):
    return set(re.findall(r'\b(?:FERRY|ferry)_\w+', text))


def constants(headers, prefix):
    return dict.fromkeys(re.findall(rf'\b({prefix}\w+)\s*=', headers))


def options_of(headers):
    """The fields of each options struct, by its name."""
    structs = re.findall(r'struct (ferry_\w+_options) \{(.*?)\n\}', headers, flags=re.S)
    return {name: re.findall(r'(\w+)(?:\[\w+\])?;', body) for name, body in structs}


def section(pages, name):
    """What stands below the headings that name the struct."""
    found = ''
    for page in pages.values():
        for part in re.split(r'^(?=#)', page, flags=re.M):
            if re.search(rf'\b{name}\b', part.split('\n')[0]):
                found += part
    return found


def missing_statuses(headers, pages):
    known = words(pages.get(STATUS_PAGE, ''))
    return [f'{name}: not in docs/pages/{STATUS_PAGE}'
            for name in constants(headers, 'FERRY_E_') if name not in known]


def missing_opcodes(headers, pages):
    known = words('\n'.join(pages.values()))
    return [f'{name}: on no page of docs/pages (operations.md has a table)'
            for name in constants(headers, 'FERRY_OP_') if name not in known]


def missing_options(headers, pages):
    lines = []
    for name, fields in options_of(headers).items():
        text = section(pages, name)
        if not text:
            lines.append(f'{name}: no heading in docs/pages names it')
        lines += [f'{name}.{field}: not below a heading that names the struct'
                  for field in fields if field != 'reserved' and f'`{field}`' not in text]
    return lines


def unknown_words(headers, pages):
    """A word that ends in _ stands for many: FERRY_E_..., ferry_prepare_<noun>."""
    known = words(headers)
    return [f'docs/pages/{page}: {word} is in no header'
            for page, text in pages.items() for word in sorted(words(text))
            if not word.endswith('_') and word not in known]


def unlinked_pages(_, pages):
    first = pages.get(FIRST_PAGE, '')
    return [f'docs/pages/{page}: {FIRST_PAGE} has no link to it'
            for page in pages if page != FIRST_PAGE and f']({page})' not in first]


def check(root):
    headers, pages = headers_of(root), pages_of(root)
    if not constants(headers, 'FERRY_E_') or not constants(headers, 'FERRY_OP_') \
            or not options_of(headers):
        return ['found no statuses, opcodes or options in the headers: is this the tree?']
    return [line for judge in (missing_statuses, missing_opcodes, missing_options, unknown_words,
                               unlinked_pages)
            for line in judge(headers, pages)]


# ---- the test of this test ----------------------------------------------------------------------

HEADER = '''
enum { FERRY_E_FULL = -4, /**< Not FERRY_E_COMMENT = 1. */ FERRY_E_BUSY = -5 };
enum {
    FERRY_OP_NOP = 1,
    FERRY_OP_TIMER = 16
};
typedef struct ferry_queue_options {
    uint32_t struct_size;
    uint32_t reserved[2];
    ferry_wake_fn wake;
} ferry_queue_options;
'''
PAGES = {
    'laws.md': '[errors](errors.md), [operations](operations.md), [limits](limits.md)\n',
    'errors.md': '| `FERRY_E_FULL` | full |\n| `FERRY_E_BUSY` | busy |\nAll are FERRY_E_...\n',
    'operations.md': 'FERRY_OP_NOP and FERRY_OP_TIMER\n',
    'limits.md': '# Limits\n\n## A queue, ferry_queue_options\n\n`struct_size`, `wake`\n\n# Other\n',
}
BROKEN = [  # What is replaced where, and what must then be said.
    ('laws.md', '](operations.md)', ']', ['operations.md: laws.md has no link']),
    ('errors.md', 'FERRY_E_BUSY', 'busy', ['FERRY_E_BUSY: not in']),
    ('errors.md', 'FERRY_E_', 'nothing', ['FERRY_E_FULL: not in', 'FERRY_E_BUSY: not in']),
    ('errors.md', 'busy', 'FERRY_E_IDLE', ['FERRY_E_IDLE is in no header']),
    ('operations.md', 'FERRY_OP_TIMER', '', ['FERRY_OP_TIMER: on no page']),
    ('operations.md', ' and', ' ferry_queue_sleep', ['ferry_queue_sleep is in no header']),
    ('limits.md', '`wake`', 'wake', ['ferry_queue_options.wake: not below']),
    ('limits.md', '`wake`\n\n# Other', '\n\n# Other\n`wake`', ['ferry_queue_options.wake: not']),
    ('limits.md', 'ferry_queue_options', 'nothing',
     ['no heading in docs/pages', '.struct_size: not', '.wake: not']),
]


def check_made_up(pages):
    with tempfile.TemporaryDirectory() as work:
        root = pathlib.Path(work)
        (root / 'docs/pages').mkdir(parents=True)
        (root / 'capi/include').mkdir(parents=True)
        (root / 'capi/include/all.h').write_text(HEADER, encoding='utf-8')
        for page, text in pages.items():
            (root / 'docs/pages' / page).write_text(text, encoding='utf-8')
        return check(root)


def self_test():
    wrong = [f'sound pages: {line}' for line in check_made_up(PAGES)]
    for page, old, new, expected in BROKEN:
        lines = check_made_up(dict(PAGES, **{page: PAGES[page].replace(old, new)}))
        if len(lines) != len(expected) or not all(part in line
                                                  for part, line in zip(expected, lines)):
            wrong.append(f'{page} without {old}: wanted {expected}, got {lines}')
    if wrong:
        sys.exit('\n'.join(wrong))
    print(f'{len(BROKEN)} omissions were noticed')


def main(argument):
    if argument == '--self-test':
        return self_test()
    lines = check(pathlib.Path(argument))
    if lines:
        sys.exit('\n'.join(lines + [f'{len(lines)} in all']))
    print('every status, opcode and option has its place in docs/pages')
    return None


main(sys.argv[1] if len(sys.argv) == 2 else sys.exit(__doc__))
