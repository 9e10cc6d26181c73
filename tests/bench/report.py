"""The results of a run: as a table, as a picture, and as a part of the manual's page."""

import os
import platform
import re
import shutil
import subprocess
import textwrap
from xml.sax.saxutils import escape

from groups import FIGURES
from harness import ROOT, python_with

BEGIN = "<!-- bench: from here on written by ./dev bench --page -->"
END = "<!-- bench: up to here -->"


# What it ran on


def first_line(*command):
    if not command[0] or not shutil.which(command[0]):
        return None
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    lines = said.stdout.splitlines()
    return lines[0].strip() if said.returncode == 0 and lines else None


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    return found.group(1) if found else platform.machine()


def asio_version():
    try:
        with open("/usr/include/asio/version.hpp", encoding="utf-8") as file:
            number = int(re.search(r"#define ASIO_VERSION (\d+)", file.read()).group(1))
    except OSError:
        return None
    return f"{number // 100000}.{number // 100 % 1000}.{number % 100}"


def tokio_version():
    crates = "/usr/share/cargo/registry"
    names = os.listdir(crates) if os.path.isdir(crates) else []
    return next((name[6:] for name in names if re.match(r"tokio-\d", name)), None)


def versions():
    found = {
        "Ferry": first_line("git", "describe", "--always", "--dirty"),
        "g++": first_line("g++", "-dumpfullversion"),
        "libuv": first_line("pkg-config", "--modversion", "libuv"),
        "liburing": first_line("pkg-config", "--modversion", "liburing"),
        "asio": asio_version(),
        "tokio": tokio_version(),
        "rustc": (first_line("rustc", "--version") or "").replace("rustc ", "").split(" ")[0],
        "Go": (first_line("go", "version") or "").replace("go version go", "").split(" ")[0],
        "uvloop": first_line(python_with("uvloop"), "-c",
                             "import uvloop; print(uvloop.__version__)"),
        "Python": first_line(python_with("uvloop"), "-c",
                             "import platform; print(platform.python_version())"),
        "Node": (first_line("node", "--version") or "").lstrip("v"),
    }
    return {name: version for name, version in found.items() if version}


def machine(runner):
    kernel = re.match(r"[\d.]*\d", platform.release()).group()
    return {"processor": processor(), "cores": len(runner.cores), "kernel": kernel,
            "server core": runner.server_core, "load core": runner.load_core}


# Tables


def number(figure, value):
    return FIGURES[figure][1].format(value) if value is not None else ""


def ratio_text(ratio):
    if ratio is None:
        return ""
    return f"{ratio['median']:.2f} ({ratio['min']:.2f}..{ratio['max']:.2f})"


def cells_of(group):
    """The header and the rows of one group."""
    figures = [figure for figure in group["figures"]
               if any(figure in row["median"] for row in group["rows"])]
    sort = group["figures"][0]
    word = "CPU" if group["ratio"] == "cpu" else "rate" if group["ratio"] == "rate" else "ratio"
    yield ["", *(FIGURES[figure][0] for figure in figures),
           *(f"{word} / {peer}" for peer in group["beside"])]
    for row in sorted(group["rows"], key=lambda row: row["median"][sort]):
        yield [row["name"], *(number(figure, row["median"].get(figure)) for figure in figures),
               *(ratio_text(row["beside"].get(peer)) for peer in group["beside"])]


def aligned(lines, between="  ", edge=""):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        cells = [line[0].ljust(widths[0]),
                 *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]
        yield (edge + " " + between.join(cells) + " " + edge if edge else
               between.join(cells).rstrip())


def absences(group):
    """Who is missing, by reason."""
    reasons = {}
    for name, reason in group["missing"].items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield f"Without {'; '.join(names)}: {reason}"


def target_text(group, target):
    text = f"{group['title']}: {target['target']}"
    if target["reached"] is None:
        return f"not judged  {text}: {target['by']}"
    verdict = "met" if target["met"] else "MISSED"
    return f"{verdict:<10}  {text}: {target['reached']:.4g} ({target['by']})"


def print_groups(groups):
    for group in groups:
        print(f"\n{group['title']}")
        for line in aligned(list(cells_of(group))):
            print(f"  {line}")
        for line in absences(group):
            print(f"  {line}")
    targets = [target_text(group, target) for group in groups for target in group["targets"]]
    if targets:
        print("\nTargets, by the best of Ferry's rows")
    for line in targets:
        print(f"  {line}")


# Ferry beside one peer in each row


HEADER = ("benchmark", "variant", "Ferry", "peer", "unit", "ratio", "spread", "target", "", "peer",
          "notes")


def row_cells(row):
    has_peer = "peer" in row
    return (row["benchmark"], row["variant"], f"{row['ferry']:.4g}",
            f"{row['peer']:.4g}" if has_peer else "", row["unit"],
            f"{row['ratio']:.2f}" if has_peer else "",
            f"{row['spread'][0]:.2f}..{row['spread'][1]:.2f}" if has_peer else "",
            row["target"] or "",
            "" if row["target"] is None else "met" if row["met"] else "MISSED",
            row.get("peer_name", ""), row["notes"])


def row_lines(rows):
    lines = [HEADER, *map(row_cells, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()


# The page


def markdown_table(group):
    lines = [["**" + line[0] + "**" if line[0].startswith("Ferry") else line[0], *line[1:]]
             for line in cells_of(group)]
    text = list(aligned(lines, " | ", "|"))
    columns = len(lines[0])
    return [text[0], "|---" + "|---:" * (columns - 1) + "|", *text[1:]]


def conditions(results):
    where = results["machine"]
    return (f"{results['date']}: {where['cores']} cores of {where['processor']}, Linux "
            f"{where['kernel']}; " + ", ".join(
                f"{name} {version}" for name, version in results["versions"].items()) + ". "
            f"Medians of {results['rounds']} interleaved rounds, over loopback; servers on core "
            f"{where['server core']}, load on core {where['load core']}.")


def fragment(results, picture):
    about = (conditions(results) + " A ratio is the median of the rounds' own ratios, with the "
             "smallest and the largest behind it.")
    lines = [BEGIN, "", *textwrap.wrap(about, 100), "",
             f"![What Ferry and its peers cost]({picture})", ""]
    for group in results["groups"]:
        lines += [f"### {group['title']}", "", *markdown_table(group), ""]
        for line in absences(group):
            lines += [*textwrap.wrap(f"{line}.", 100), ""]
    lines += ["### Targets", "", "By the best of Ferry's rows.", "", "```"]
    lines += [target_text(group, target) for group in results["groups"]
              for target in group["targets"]]
    lines += ["```", ""]
    if results["rows"]:
        lines += ["### Parts, and other languages", "", "```", *row_lines(results["rows"]), "```",
                  ""]
    lines.append(END)
    return "\n".join(lines)


def write_page(path, results):
    """Renew the part between the two marks, and the picture beside the page."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no place for it: {BEGIN} ... {END}")
    picture = os.path.splitext(path)[0] + ".svg"
    with open(picture, "w", encoding="utf-8") as file:
        file.write(draw(results) + "\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + fragment(results, os.path.basename(picture)) + after)


# The picture: a panel for each group, a bar for each row, a whisker from its smallest sample to
# its largest. It has a ground of its own, so it can be read on any page.

STYLE = """
  .ground { fill: #ffffff } .text { fill: #1f2328 } .faint { fill: #59636e }
  .bar { fill: #b4bcc6 } .ferry { fill: #1a7f8e } .line { stroke: #1f2328; stroke-width: 1 }
  text { font: 13px ui-sans-serif, system-ui, sans-serif }
  .title { font-weight: 600; font-size: 15px } .strong { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #14181d } .text { fill: #e6edf3 } .faint { fill: #9aa4af }
    .bar { fill: #4a545f } .ferry { fill: #2fa7b8 } .line { stroke: #e6edf3 }
  }
"""
WIDTH, LABEL, VALUE, ROW, MARGIN = 900, 290, 150, 22, 24
GLYPH = 8.5  # Wider than the text's widest average.


def text(x, y, content, classes, anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{classes}" text-anchor="{anchor}">' \
           f"{escape(content)}</text>"


def draw_row(row, figure, unit, scale, y):
    middle, ferry = y + ROW / 2, row["ferry"]
    low, high = row["spread"]["min"] * scale, row["spread"]["max"] * scale
    start = MARGIN + LABEL
    length = max(1, row["median"][figure] * scale)
    strong = " strong" if ferry else ""
    yield text(start - 10, middle + 4, row["name"], "text" + strong, "end")
    yield f'<rect x="{start}" y="{y + 3}" width="{length:.1f}" height="{ROW - 6}" ' \
          f'class="{"ferry" if ferry else "bar"}"/>'
    yield f'<path d="M{start + low:.1f} {middle}H{start + high:.1f}M{start + low:.1f} ' \
          f'{middle - 4}v8M{start + high:.1f} {middle - 4}v8" class="line" fill="none"/>'
    yield text(start + max(high, length) + 8, middle + 4,
               f"{number(figure, row['median'][figure])} {unit}", "text" + strong)


def draw_panel(group, y):
    """The panel's parts, and where it ends."""
    figure = group["figures"][0]
    unit = FIGURES[figure][0].split(",")[0]
    widest = max(row["spread"]["max"] for row in group["rows"]) or 1
    scale = (WIDTH - 2 * MARGIN - LABEL - VALUE) / widest
    parts = [text(MARGIN, y + 14, group["title"], "text title")]
    y += 26
    for row in group["rows"]:
        parts += draw_row(row, figure, unit, scale, y)
        y += ROW
    return parts, y + MARGIN


def draw(results):
    y, parts = MARGIN, []
    for group in results["groups"]:
        if group["rows"]:
            more, y = draw_panel(group, y)
            parts += more
    about = ("Shorter is better; thin lines go from the smallest sample to the largest. " +
             conditions(results))
    for line in textwrap.wrap(about, int((WIDTH - 2 * MARGIN) / GLYPH)):
        parts.append(text(MARGIN, y + 6, line, "faint"))
        y += 18
    body = "\n".join(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 8}" '
            f'width="{WIDTH}" height="{y + 8}" role="img">\n'
            f"<title>What Ferry and its peers cost</title>\n<style>{STYLE}</style>\n"
            f'<rect width="{WIDTH}" height="{y + 8}" class="ground"/>\n{body}\n</svg>')
