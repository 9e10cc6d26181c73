#!/usr/bin/env python3
"""From the public headers and their comments to capi/abi/ferry.json, which describes the whole ABI.

The headers keep to a small part of C (see docs/design/003-ferry-json.md), so that a short reader
understands them; what only a compiler knows (sizes, offsets, values) a compiler says: a probe is
compiled against the headers, and with it every type that was read is checked as well.

usage: headers.py [--cc COMPILER...]      prints the JSON
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADERS = ROOT / 'capi/include'

SCALARS = {
    'uint8_t': 'u8', 'uint16_t': 'u16', 'uint32_t': 'u32', 'uint64_t': 'u64', 'int32_t': 'i32',
    'int64_t': 'i64', 'size_t': 'usize', 'bool': 'bool', 'void': 'void', 'char': 'char',
}
OWNERSHIP = ('borrowed', 'pinned', 'consumed', 'owned', 'lent')

# What a compiler needs to be told and a binding does not.
NOT_FOR_BINDINGS = re.compile(r'FERRY_(API|\w+_H)$')

TOKEN = re.compile(r'''
    (?P<comment>/\*.*?\*/) | (?P<name>[A-Za-z_]\w*) | (?P<number>\d\w*) | (?P<mark><<|[{}()\[\];,=*|-])
    | (?P<space>\s+)''', re.S | re.X)


class Mistake(Exception):
    """A header says something that this reader, or a binding, cannot understand."""


def plain(comment):
    """A comment's text as one string, its paragraphs by an empty line apart."""
    text = re.sub(r'^/\*\*?<?|\*/$', '', comment)
    lines = [re.sub(r'^\s*\*? ?', '', line).rstrip() for line in text.split('\n')]
    return '\n'.join(lines).strip()


def sentence(text):
    """Text on one line, without the commands that only the manual needs."""
    text = re.sub(r'@ref\s+', '', text)
    return re.sub(r'\s+', ' ', text).strip()


def since_of(text):
    """The text and the API level it names; what names none was there from the first."""
    match = re.search(r'\s*@since API (\d+)', text)
    return (text.replace(match.group(), ''), int(match.group(1))) if match else (text, 1)


class Reader:
    """Reads one header, in order, into the description."""

    def __init__(self, path, abi):
        self.header = f'ferry/{path.name}'
        self.abi = abi
        text = path.read_text(encoding='utf-8')
        self.read_defines(text)
        text = re.sub(r'#ifdef __cplusplus.*?#endif', '', text, flags=re.S)
        text = re.sub(r'^#if defined\(__GNUC__\).*?^#endif', '', text, flags=re.S | re.M)
        text = re.sub(r'^#.*$', '', text, flags=re.M)
        self.tokens = list(self.tokenize(text))
        self.at = 0

    def tokenize(self, text):
        end = 0
        for match in TOKEN.finditer(text):
            if match.start() != end:
                break
            end = match.end()
            if match.lastgroup != 'space':
                yield match.lastgroup, match.group()
        if end != len(text):
            raise Mistake(f'{self.header}: cannot read {text[end:end + 40]!r}')

    def read_defines(self, text):
        pattern = (r'(?:/\*\*(?!<)((?:(?!\*/).)*)\*/\n)?'
                   r'^#define (FERRY_\w+)[ ]+([^\n/]+?)(?:[ ]*/\*\*<(.*?)\*/)?$')
        for before, name, value, after in re.findall(pattern, text, flags=re.M | re.S):
            if not NOT_FOR_BINDINGS.match(name):
                self.constant(name, sentence(plain(f'/**{before or after}*/')), value, 'define')

    def constant(self, name, doc, text, group):
        doc, since = since_of(doc)
        self.abi['constants'].append({'name': name, 'value': text, 'type': group, 'doc': doc,
                                      'header': self.header, 'since': since})

    # --- tokens -------------------------------------------------------------------------------

    def peek(self):
        return self.tokens[self.at][1] if self.at < len(self.tokens) else None

    def take(self, *wanted):
        token = self.peek()
        if token is None or (wanted and token not in wanted):
            raise Mistake(f'{self.header}: {wanted} expected, not {token!r}')
        self.at += 1
        return token

    def took(self, wanted):
        if self.peek() != wanted:
            return False
        self.at += 1
        return True

    def comment(self, after=False):
        """The comment that stands here: before what it is about, or after it."""
        if self.at < len(self.tokens) and self.tokens[self.at][0] == 'comment':
            if self.peek().startswith('/**<') == after:
                return plain(self.take())
        return ''

    def type(self):
        """A type without a name. Constness is of what a pointer points to."""
        const = self.took('const')
        self.took('struct')
        name = self.take()
        result = SCALARS.get(name, name)
        while self.took('*'):
            result = f'*{"const" if const else "mut"} {result}'
            const = self.took('const')
        return result

    # --- declarations -------------------------------------------------------------------------

    def read(self):
        while self.peek() is not None:
            doc = self.comment()
            if self.peek() is None or self.tokens[self.at][0] == 'comment':
                continue  # the file's own comment
            if self.took('typedef'):
                self.typedef(doc)
            elif self.took('enum'):
                self.enumeration()
            else:
                self.take('FERRY_API')
                self.function(doc)

    def typedef(self, doc):
        if self.peek() == 'struct':
            mark = self.at
            self.take('struct')
            name = self.take()
            if self.took('{'):
                self.record(name, doc)
                self.take(name)
            elif self.peek() == name:
                self.take(name)
                self.abi['opaques'].append({'name': name, 'doc': sentence(doc),
                                            'header': self.header})
            else:
                self.at = mark
                raise Mistake(f'{self.header}: a typedef of another struct')
            self.take(';')
            return
        what = self.type()
        if self.took('('):
            self.take('*')
            name = self.take()
            self.take(')')
            self.abi['callbacks'].append({'name': name, 'returns': what,
                                          'params': self.parameters(), 'doc': sentence(doc),
                                          'header': self.header})
        else:
            doc, since = since_of(sentence(doc))
            self.abi['aliases'].append({'name': self.take(), 'type': what, 'doc': doc,
                                        'header': self.header, 'since': since})
        self.take(';')

    def enumeration(self):
        self.take('{')
        group = object()
        while not self.took('}'):
            doc = self.comment()
            name = self.take()
            self.take('=')
            value = []
            while self.peek() not in (',', '}') and self.tokens[self.at][0] != 'comment':
                value.append(self.take())
            self.took(',')
            doc = self.comment(after=True) or doc
            self.constant(name, sentence(doc), ' '.join(value), group)
        self.take(';')

    def record(self, name, doc):
        self.abi['records'].append({'name': name, 'kind': None, 'size': None, 'align': None,
                                    'doc': sentence(doc), 'header': self.header,
                                    'fields': self.fields()})

    def fields(self):
        result = []
        while not self.took('}'):
            doc = self.comment()
            if self.took('union'):
                self.take('{')
                members = self.fields()
                name = None if self.peek() == ';' else self.take()
                field = {'name': name, 'type': 'union', 'members': members}
            else:
                what = self.type()
                field = {'name': self.take(), 'type': what, 'count': 1}
                if self.took('['):
                    field['count'] = int(self.take())
                    self.take(']')
            self.take(';')
            field['doc'] = sentence(self.comment(after=True) or doc)
            result.append(field)
        return result

    def parameters(self):
        self.take('(')
        if self.peek() == 'void' and self.tokens[self.at + 1][1] == ')':
            self.take('void')
        result = []
        while not self.took(')'):
            what = self.type()
            result.append({'name': self.take(), 'type': what})
            self.took(',')
        return result

    def function(self, doc):
        returns = self.type()
        name = self.take()
        params = self.parameters()
        self.take(';')
        said = Comment(f'{self.header}: {name}', doc)
        for param in params:
            said.describe(param)
        if said.params:
            raise Mistake(f'{said.where}: has no parameter {", ".join(said.params)}')
        self.abi['functions'].append({
            'name': name, 'header': self.header, 'doc': said.text, 'returns': returns,
            'returns_doc': said.of('returns'), 'statuses': said.statuses('returns'),
            'completes': said.of('completes'), 'threads': said.threads(),
            # Nothing blocks unless it is told for how long it may.
            'blocks': any(param['name'] in ('wait_ns', 'timeout_ns') for param in params),
            'since': said.since(), 'params': params})


class Comment:
    """A function's comment, taken apart."""

    def __init__(self, where, text):
        self.where = where
        head, *parts = re.split(r'(?:^|\s)@(?=param|returns|completes|threads|since)', text)
        self.text = sentence(head)
        self.parts = {}
        self.params = {}
        for part in parts:
            word, _, rest = part.partition(' ')
            if word.startswith('param['):
                name, _, rest = rest.strip().partition(' ')
                self.params[name] = (word[6:-1], rest)
            else:
                self.parts[word] = sentence(rest)

    def of(self, word):
        return self.parts.get(word)

    def statuses(self, word):
        return list(dict.fromkeys(re.findall(r'FERRY_(?:OK|E_\w+)', self.parts.get(word, ''))))

    def threads(self):
        if 'threads' not in self.parts:
            raise Mistake(f'{self.where}: does not say on which threads')
        return self.parts['threads']

    def since(self):
        match = re.match(r'API (\d+)', self.parts.get('since', ''))
        if not match:
            raise Mistake(f'{self.where}: does not say since which API level')
        return int(match.group(1))

    def describe(self, param):
        if param['name'] not in self.params:
            raise Mistake(f'{self.where}: says nothing of {param["name"]}')
        direction, text = self.params.pop(param['name'])
        words = re.findall(r'@(%s)\b' % '|'.join(OWNERSHIP), text)
        param['direction'] = direction.replace(',', '')
        param['ownership'] = words[-1] if words else None
        param['doc'] = sentence(re.sub(r'@(%s)\b' % '|'.join(OWNERSHIP), '', text))
        # What an opaque pointer is owned by is said where it comes from.
        opaque = param['type'] in ('*mut ferry_engine', '*mut ferry_queue')
        if param['type'].startswith('*') and not opaque and not words:
            raise Mistake(f'{self.where}: says nothing of the ownership of {param["name"]}')


# --- what the compiler knows ------------------------------------------------------------------

def c_type(what):
    """The type as C has it."""
    if what.startswith('*const '):
        return f'{c_type(what[7:])} const *'
    if what.startswith('*mut '):
        return f'{c_type(what[5:])} *'
    return {short: c for c, short in SCALARS.items()}.get(what, what)


def places(fields, prefix=''):
    """Each field with the name that offsetof knows it by; an unnamed union by its first member."""
    for field in fields:
        if field['type'] == 'union':
            inside = f'{prefix}{field["name"]}.' if field['name'] else prefix
            yield field, prefix + (field['name'] or first_name(field))
            yield from places(field['members'], inside)
        else:
            yield field, prefix + field['name']


def first_name(union):
    return union['members'][0]['name']


def probe_text(abi):
    lines = ['#include <ferry.h>', '#include <stdalign.h>', '#include <stdio.h>', 'int main(void)',
             '{', 'const char *words = "";', '(void)words;']
    for constant in abi['constants']:
        name = constant['name']
        lines.append(f'printf("%d %d %llu\\n", (int)sizeof({name}), ({name}) < 0, '
                     f'(unsigned long long)({name}));')
    for record in abi['records']:
        name = record['name']
        lines.append(f'printf("%zu %zu\\n", sizeof({name}), alignof({name}));')
        for field, place in places(record['fields']):
            size = f'sizeof((({name} *)0)->{place})'
            lines.append(f'printf("%zu %zu\\n", offsetof({name}, {place}), {size});')
            if field['type'] != 'union':
                check = f'{c_type(field["type"])} (*)[{field["count"]}]' if field['count'] > 1 \
                    else f'{c_type(field["type"])} *'
                lines.append(f'_Static_assert(_Generic(&(({name} *)0)->{place}, {check}: 1, '
                             f'default: 0), "{name}.{place}");')
    for function in abi['functions']:
        params = ', '.join(c_type(param['type']) for param in function['params']) or 'void'
        lines.append(f'_Static_assert(_Generic(&{function["name"]}, {c_type(function["returns"])} '
                     f'(*)({params}): 1, default: 0), "{function["name"]}");')
    for callback in abi['callbacks']:
        params = ', '.join(c_type(param['type']) for param in callback['params']) or 'void'
        lines.append(f'_Static_assert(_Generic(({callback["name"]})0, '
                     f'{c_type(callback["returns"])} (*)({params}): 1, default: 0), '
                     f'"{callback["name"]}");')
    return '\n'.join([*lines, 'return 0;', '}', ''])


def ask_compiler(abi, compiler):
    with tempfile.TemporaryDirectory() as folder:
        source, program = pathlib.Path(folder) / 'probe.c', pathlib.Path(folder) / 'probe'
        source.write_text(probe_text(abi), encoding='utf-8')
        subprocess.run([*compiler, '-std=c11', '-w', '-O0', '-fno-sanitize=all',
                        '-I', HEADERS, source, '-o', program], check=True)
        said = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout
    return iter([[int(word) for word in line.split()] for line in said.splitlines()])


def fill_in(abi, compiler):
    answers = ask_compiler(abi, compiler)
    negative = set()
    for constant in abi['constants']:
        size, below, value = next(answers)
        constant['value'] = value - (1 << 64) if below else value
        constant['wide'] = size == 8
        if below:
            negative.add(constant['type'])
    for constant in abi['constants']:
        group, wide = constant['type'], constant.pop('wide')
        signed = constant['value'] < 0 or (group != 'define' and group in negative)
        constant['type'] = ('i' if signed else 'u') + ('64' if wide else '32')
    for record in abi['records']:
        record['size'], record['align'] = next(answers)
        for field, _ in places(record['fields']):
            field['offset'], field['size'] = next(answers)
        for field, _ in places(record['fields']):
            if field['type'] == 'union':
                field['size'] = max(member['size'] for member in field['members'])
        record['kind'] = kind_of(record)


def kind_of(record):
    if record['fields'][0]['name'] == 'struct_size':
        return 'options' if record['name'].endswith('_options') else 'output'
    return 'params' if record['name'].endswith('_params') else 'frozen'


def in_order():
    """The headers, each after those that it includes."""
    found = []

    def visit(name):
        text = (HEADERS / name).read_text(encoding='utf-8')
        for other in re.findall(r'#include <(ferry/\w+\.h)>', text):
            visit(other)
        if name not in found:
            found.append(name)

    visit('ferry.h')
    return [HEADERS / name for name in found[:-1]]


def describe(compiler):
    """The whole ABI."""
    abi = {'version': None, 'api_level': None, 'aliases': [], 'opaques': [], 'callbacks': [],
           'constants': [], 'records': [], 'functions': []}
    for path in in_order():
        Reader(path, abi).read()
    fill_in(abi, compiler)
    value = {constant['name']: constant['value'] for constant in abi['constants']}
    abi['version'] = '.'.join(str(value[f'FERRY_VERSION_{part}'])
                              for part in ('MAJOR', 'MINOR', 'PATCH'))
    abi['api_level'] = value['FERRY_API_LEVEL']
    return abi


def text_of(value, indent=''):
    """JSON with one line for each innermost thing, so that a change is a line's change."""
    parts = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)) or not any(isinstance(part, (dict, list)) and part
                                                      for part in parts):
        return json.dumps(value, ensure_ascii=False)
    inner = indent + ' '
    if isinstance(value, dict):
        lines = [f'{json.dumps(key)}: {text_of(part, inner)}' for key, part in value.items()]
    else:
        lines = [text_of(part, inner) for part in value]
    start, end = '{}' if isinstance(value, dict) else '[]'
    return start + ','.join(f'\n{inner}{line}' for line in lines) + f'\n{indent}{end}'


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--cc', nargs='+', default=['cc'])
    try:
        print(text_of(describe(parser.parse_args().cc)))
    except Mistake as mistake:
        sys.exit(f'headers.py: {mistake}')


if __name__ == '__main__':
    main()
